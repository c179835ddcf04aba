//! Record a stable state: live content, immutable copies of ConfigMaps, and the sealed record over them.

use serde_json::{Value, json};

use super::address::{Address, Kind};
use super::live::Live;
use super::record::{as_json, cut_name, policy_label, refused};
use super::{Error, Hands, field_owner};
use crate::api::mark::{COPY_OF, POLICY};
use crate::api::policy::TargetRef;
use crate::api::stable_state::{Evidence, LARGEST_MEMBER, MOST_MEMBERS, Member, Record};
use crate::api::{StableState, StableStateSpec};
use crate::plan::content;

/// The most characters of a policy's name in the name of its states.
const LONGEST_POLICY: usize = 200;

/// What is to be recorded, and what it is expected to be.
#[derive(Clone, Debug)]
pub struct StateRequest {
    /// Name of the policy whose criteria were met.
    pub policy: String,
    /// The target.
    pub target: TargetRef,
    /// The uid the target must have.
    pub target_uid: String,
    /// The digest of the closure that earned it; anything else that is found live is refused.
    pub digest: String,
    /// Whether ConfigMaps belong to the closure.
    pub with_config_maps: bool,
    /// On what evidence it counts as stable.
    pub evidence: Evidence,
}

/// A member of the closure as found live, with the content that a copy is to keep.
struct Found {
    member: Member,
    content: Value,
}

impl Hands {
    /// Records the live closure as a stable state. Returns the API server's answers: copies first, then the state.
    /// What exists already is returned as it is, so that a repeat after a crash does no harm.
    ///
    /// # Errors
    /// [`Error::Moved`] if the live closure is not the one that earned it, [`Error::Gone`] if the target is gone,
    /// [`Error::Invalid`] if the closure is too large or something else has the name of a record of ours.
    pub async fn record_state(&self, namespace: &str, request: &StateRequest) -> Result<Vec<Value>, Error> {
        let _together = self.copies.read().await;
        let found = self.closure(namespace, request).await?;
        let members = found.iter().map(|found| &found.member);
        let digest = content::closure_digest(members.map(|m| (m.kind.as_str(), m.name.as_str(), m.digest.as_str())));
        if digest != request.digest {
            let target = &request.target.name;
            return Err(Error::Moved(format!(
                "the closure of Deployment {namespace}/{target} changed since it was judged"
            )));
        }
        let mut answers = vec![];
        for found in found.iter().filter(|found| !found.member.copy.is_empty()) {
            answers.push(self.copy(namespace, found).await?);
        }
        let members = found.into_iter().map(|found| found.member).collect();
        answers.push(self.state(namespace, request, members).await?);
        Ok(answers)
    }

    /// Every member of the closure as it is now, sorted by kind and name.
    async fn closure(&self, namespace: &str, request: &StateRequest) -> Result<Vec<Found>, Error> {
        let target = &request.target;
        if target.kind != "Deployment" {
            return Err(Error::Invalid(format!("this version records Deployments, not {}", target.kind)));
        }
        let address = Address::new(Kind::Deployment, namespace, &target.name);
        let deployment = self.find(address).await?.ok_or(Error::Gone)?;
        if deployment.uid() != request.target_uid {
            return Err(Error::Moved(format!("{address} was replaced by another of its name")));
        }
        let spec = deployment.spec();
        let names = match request.with_config_maps {
            true => content::config_map_references(spec.get("template").unwrap_or(&Value::Null)),
            false => Default::default(),
        };
        if names.len() >= MOST_MEMBERS {
            let count = names.len() + 1;
            return Err(Error::Invalid(format!(
                "{address} has {count} members in its closure; at most {MOST_MEMBERS} fit"
            )));
        }
        let mut found = vec![];
        for name in &names {
            let live = self.find(Address::new(Kind::ConfigMap, namespace, name)).await?;
            found.push(config_map(name, live)?);
        }
        found.push(member("Deployment", &target.name, &deployment, content::deployment(spec))?);
        found.sort_by(|a, b| (&a.member.kind, &a.member.name).cmp(&(&b.member.kind, &b.member.name)));
        Ok(found)
    }

    /// The immutable, content-addressed copy of a ConfigMap; shared between states.
    async fn copy(&self, namespace: &str, found: &Found) -> Result<Value, Error> {
        let name = &found.member.copy;
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {COPY_OF: "ConfigMap", "app.kubernetes.io/managed-by": "homeostat"},
            },
            "immutable": true,
        });
        for part in content::CONFIG_MAP_PARTS {
            if let (Some(value), Some(object)) = (found.content.get(part), object.as_object_mut()) {
                object.insert(part.to_owned(), value.clone());
            }
        }
        let address = Address::new(Kind::ConfigMap, namespace, name);
        match self.create(Kind::ConfigMap, namespace, &object).await {
            Err(Error::Conflict) => {}
            answer => return answer.map_err(|error| refused(error, &address.to_string())),
        }
        let there = self.find(address).await?.ok_or(Error::Conflict)?;
        let digest = content::digest(&content::canonical(&content::config_map(there.object())));
        if !there.immutable() || digest != found.member.digest || there.deleting() {
            return Err(Error::Invalid(format!("{address} has the name of a copy of ours but is none; delete it")));
        }
        Ok(there.into_object())
    }

    async fn state(&self, namespace: &str, request: &StateRequest, members: Vec<Member>) -> Result<Value, Error> {
        let name = state_name(&request.policy, &request.digest);
        let record = Record {
            policy: request.policy.clone(),
            target: request.target.clone(),
            digest: request.digest.clone(),
            members,
            evidence: request.evidence.clone(),
        };
        let seal = self.sealer.seal(namespace, &name, &record)?;
        let mut state = StableState::new(&name, StableStateSpec { record, seal, review: None });
        state.metadata.namespace = Some(namespace.to_owned());
        state.metadata.labels = Some([(POLICY.to_owned(), policy_label(&request.policy))].into());
        let address = Address::new(Kind::StableState, namespace, &name);
        match self.create(Kind::StableState, namespace, &as_json(&state)?).await {
            Err(Error::Conflict) => {}
            answer => return answer.map_err(|error| refused(error, &address.to_string())),
        }
        let there = self.find(address).await?.ok_or(Error::Conflict)?.into_object();
        let same = serde_json::from_value(there.clone())
            .is_ok_and(|there: StableState| there.spec.record.digest == request.digest && self.sealer.verify(&there));
        match same {
            true => Ok(there),
            false => {
                Err(Error::Invalid(format!("{address} exists with another content or a seal not ours; delete it")))
            }
        }
    }
}

/// The name of the state of a policy with this closure: the same closure has the same name.
fn state_name(policy: &str, digest: &str) -> String {
    let short: String = digest.chars().take(8).collect();
    format!("{}-{short}", cut_name(policy, LONGEST_POLICY))
}

fn config_map(name: &str, live: Option<Live>) -> Result<Found, Error> {
    let Some(live) = live else {
        let member = Member {
            kind: "ConfigMap".to_owned(),
            name: name.to_owned(),
            absent: true,
            digest: String::new(),
            content: String::new(),
            copy: String::new(),
            owner: None,
        };
        return Ok(Found { member, content: Value::Null });
    };
    let mut found = member("ConfigMap", name, &live, content::config_map(live.object()))?;
    let short: String = found.member.digest.chars().take(16).collect();
    found.member.copy = format!("homeostat-{short}");
    found.member.content = String::new();
    Ok(found)
}

fn member(kind: &str, name: &str, live: &Live, content: Value) -> Result<Found, Error> {
    let text = content::canonical(&content);
    if text.len() > LARGEST_MEMBER {
        let size = text.len();
        return Err(Error::Invalid(format!(
            "{kind} {name} has {size} bytes of content; at most {LARGEST_MEMBER} are recorded"
        )));
    }
    let member = Member {
        kind: kind.to_owned(),
        name: name.to_owned(),
        absent: false,
        digest: content::digest(&text),
        content: text,
        copy: String::new(),
        owner: field_owner(kind, live.managed_fields()),
    };
    Ok(Found { member, content })
}
