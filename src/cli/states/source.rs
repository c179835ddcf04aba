//! Where states, their copies and what is live are read: a namespace of the cluster, or a folder.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::eyes::{self, NO_SECRETS};
use crate::act::Sealer;
use crate::api::policy::MemberPolicy;
use crate::api::{Mode, RecoveryPolicy, StableState};
use crate::observe::folder::{objects, read_folder};
use crate::observe::{Observer, PolicyKey, Stores};
use crate::plan::facts::{Ceiling, Facts};
use crate::plan::member::MemberKind;
use crate::{client, clock};

/// Where is read.
pub(super) struct Source {
    /// The only namespace that is looked at.
    pub namespace: String,
    /// What the reader has to know besides.
    pub notes: Vec<String>,
    place: Place,
}

enum Place {
    Cluster { client: Client, sealer: Option<Arc<Sealer>> },
    Folder { objects: Vec<Value>, stores: Box<Stores> },
}

/// Everything that is known of the namespace now.
pub(super) struct Look<'a> {
    eyes: Eyes<'a>,
    secrets: bool,
    /// What could not be seen, and what follows.
    pub notes: Vec<String>,
}

enum Eyes<'a> {
    Watching { observer: Observer, _reflectors: JoinSet<()> },
    Recorded(&'a Stores),
}

impl Source {
    pub(super) async fn cluster(namespace: String, operator: &str) -> anyhow::Result<Self> {
        let (client, mut notes) = (client::connect().await?, vec![]);
        let sealer = eyes::key(&client, operator, &mut notes).await;
        Ok(Self { namespace, notes, place: Place::Cluster { client, sealer } })
    }

    pub(super) fn folder(folder: &Path, namespace: String) -> anyhow::Result<Self> {
        let stores = Box::new(Stores::new(|_| true));
        let found = read_folder(folder, &stores)?;
        ensure!(found > 0, "{} has no object of a kind that matters: no .yaml, .yml or .json of one", folder.display());
        let notes = vec!["offline: the seals of stable states are taken for genuine".to_owned()];
        Ok(Self { namespace, notes, place: Place::Folder { objects: objects(folder)?, stores } })
    }

    /// Every state of the namespace, by name.
    pub(super) async fn states(&self) -> anyhow::Result<Vec<StableState>> {
        let mut states = match &self.place {
            Place::Cluster { client, .. } => {
                let api: Api<StableState> = Api::namespaced(client.clone(), &self.namespace);
                let list = api.list(&ListParams::default()).await;
                list.with_context(|| format!("failed to list StableStates in namespace {}", self.namespace))?.items
            }
            Place::Folder { .. } => self.recorded("StableState").map(read_state).collect::<anyhow::Result<_>>()?,
        };
        states.sort_by_key(ResourceExt::name_any);
        Ok(states)
    }

    /// The state of this name.
    pub(super) async fn state(&self, name: &str) -> anyhow::Result<StableState> {
        let found = match &self.place {
            Place::Cluster { client, .. } => {
                let api: Api<StableState> = Api::namespaced(client.clone(), &self.namespace);
                api.get_opt(name).await.with_context(|| format!("failed to read StableState {name}"))?
            }
            Place::Folder { .. } => self.states().await?.into_iter().find(|state| state.name_any() == name),
        };
        let Some(found) = found else {
            let namespace = &self.namespace;
            bail!(
                "StableState {name:?} does not exist in namespace {namespace}; `homeostat states -n {namespace}` lists those that do"
            );
        };
        Ok(found)
    }

    /// Whether the seal of a state is ours, as far as that can be told here.
    pub(super) fn genuine(&self, state: &StableState) -> bool {
        match &self.place {
            Place::Cluster { sealer: Some(sealer), .. } => sealer.verify(state),
            _ => true,
        }
    }

    /// An object as it is now; never a Secret.
    pub(super) async fn object(&self, kind: MemberKind, name: &str) -> anyhow::Result<Option<Value>> {
        match &self.place {
            _ if kind == MemberKind::Secret => Ok(None),
            Place::Cluster { client, .. } => {
                let (group, version) = kind.api_version().split_once('/').unwrap_or(("", kind.api_version()));
                let named = GroupVersionKind::gvk(group, version, kind.name());
                let resource = ApiResource::from_gvk_with_plural(&named, kind.plural());
                let api: Api<DynamicObject> = match kind {
                    kind if kind == MemberKind::Namespace || kind.outside() => Api::all_with(client.clone(), &resource),
                    _ => Api::namespaced_with(client.clone(), &self.namespace, &resource),
                };
                let found = api.get_opt(name).await.with_context(|| format!("failed to read {kind} {name}"))?;
                Ok(found.map(serde_json::to_value).transpose()?)
            }
            Place::Folder { .. } => {
                let named = |object: &&Value| object.pointer("/metadata/name").and_then(Value::as_str) == Some(name);
                Ok(self.recorded(kind.name()).find(named).cloned())
            }
        }
    }

    /// The objects of a kind in the namespace that a folder holds.
    fn recorded<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let objects = match &self.place {
            Place::Folder { objects, .. } => objects.as_slice(),
            Place::Cluster { .. } => &[],
        };
        let here = move |object: &&Value| {
            let place = if kind == MemberKind::Namespace.name() { "/metadata/name" } else { "/metadata/namespace" };
            let namespace = object.pointer(place).and_then(Value::as_str).unwrap_or("default");
            object["kind"] == *kind && namespace == self.namespace
        };
        objects.iter().filter(here)
    }

    /// Looks at everything. Secrets are looked at if a policy asks for them and we may, and then only compared.
    pub(super) async fn look(&self) -> anyhow::Result<Look<'_>> {
        let (client, sealer) = match &self.place {
            Place::Cluster { client, sealer } => (client, sealer),
            Place::Folder { stores, .. } => {
                let notes = self.asked_offline().then(|| NO_SECRETS.to_owned()).into_iter().collect();
                return Ok(Look { eyes: Eyes::Recorded(stores), secrets: false, notes });
            }
        };
        let policies: Api<RecoveryPolicy> = Api::namespaced(client.clone(), &self.namespace);
        let policies = policies.list(&ListParams::default()).await.context("failed to list RecoveryPolicies")?;
        let asked = policies.iter().any(|policy| policy.spec.closure.secrets != MemberPolicy::Ignore);
        let wanted = asked && sealer.is_some();
        let (observer, reflectors) = eyes::open(client, &self.namespace, sealer.clone(), wanted).await?;
        let mut notes = observer.blind(clock::monotonic());
        notes.extend(eyes::see_namespace(client, &observer, &self.namespace).await);
        let secrets = wanted && !notes.iter().any(|trouble| trouble.starts_with(MemberKind::Secret.plural()));
        notes.extend((asked && !secrets).then(|| NO_SECRETS.to_owned()));
        Ok(Look { eyes: Eyes::Watching { observer, _reflectors: reflectors }, secrets, notes })
    }

    fn asked_offline(&self) -> bool {
        let asks = |policy: &Value| policy.pointer("/spec/closure/secrets").is_some_and(|word| word != "Ignore");
        self.recorded("RecoveryPolicy").any(asks)
    }
}

impl Look<'_> {
    /// Everything known about a policy; `None` if it does not exist.
    pub(super) fn facts(&self, namespace: &str, policy: &str) -> Option<Facts> {
        let stores = match &self.eyes {
            Eyes::Watching { observer, .. } => observer.stores(),
            Eyes::Recorded(stores) => stores,
        };
        let ceiling = Ceiling {
            mode: Mode::Enforce,
            suspended: false,
            secrets: self.secrets,
            neighbours: false,
            pod_network: false,
            gateway_api: false,
            cluster_members: false,
        };
        let facts = stores.facts(&PolicyKey::new(namespace, policy), ceiling, vec![])?;
        facts.policy.is_some().then_some(facts)
    }
}

fn read_state(object: &Value) -> anyhow::Result<StableState> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    serde_json::from_value(object.clone()).with_context(|| format!("StableState {name:?} cannot be read; leave it out"))
}
