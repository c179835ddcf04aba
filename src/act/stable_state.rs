//! Record a stable state: live content, immutable copies of ConfigMaps and Secrets, and the sealed record over them. What
//! a Secret holds goes into its copy and nowhere else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::address::{Address, Kind};
use super::live::{Live, at};
use super::record::{as_json, cut_name, policy_label, refused};
use super::{Error, Hands, field_owner};
use crate::api::mark::{COPY_OF, FROZEN_BY, FROZEN_FROM, POLICY, RECREATED_BY, SCALED_BY, STOPPED_BY, SWITCHED_BY};
use crate::api::policy::TargetRef;
use crate::api::stable_state::{Evidence, Group, LARGEST_MEMBER, MOST_MEMBERS, Member, Record};
use crate::api::{StableState, StableStateSpec};
use crate::plan::member::MemberKind;
use crate::plan::{content, secrets};

/// Where `kubectl apply` keeps what it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations that are not recorded: our marks, what its controller counts, and what repeats the content, which is in the
/// record already.
const OF_THE_MOMENT: [&str; 9] = [
    LAST_APPLIED,
    SWITCHED_BY,
    FROZEN_BY,
    FROZEN_FROM,
    STOPPED_BY,
    SCALED_BY,
    RECREATED_BY,
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
];

/// The annotations of a Secret that are recorded: those by which Helm and Argo CD know what is theirs. Others may repeat
/// what the Secret holds, as tools that keep what they applied do.
const HARMLESS: [&str; 3] =
    ["meta.helm.sh/release-name", "meta.helm.sh/release-namespace", "argocd.argoproj.io/tracking-id"];

/// Labels and annotations larger than this, in bytes, are not recorded.
const LARGEST_CREATION: usize = 65_536;

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
    /// Which parts of the closure it covers.
    pub groups: BTreeSet<Group>,
    /// The members of the closure; those that do not exist are recorded as absent.
    pub members: Vec<(MemberKind, String)>,
    /// On what evidence it counts as stable.
    pub evidence: Evidence,
}

/// A member of the closure as found live, with the content that a copy is to keep.
struct Found {
    kind: MemberKind,
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
        let members = members.map(|m| (m.kind.as_str(), m.name.as_str(), m.digest.as_str()));
        let digest = content::closure_digest(request.groups.iter().copied(), members);
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
        if request.members.len() > MOST_MEMBERS {
            let (name, count) = (&target.name, request.members.len());
            return Err(Error::Invalid(format!(
                "{} {namespace}/{name} has {count} members in its closure; at most {MOST_MEMBERS} fit",
                target.kind
            )));
        }
        let mut found = vec![];
        for (kind, name) in &request.members {
            let address = Address::new(Kind::Member(*kind), namespace, name);
            let live = self.find(address).await?;
            if target.kind == kind.name() && target.name == *name {
                let live = live.as_ref().ok_or(Error::Gone)?;
                if live.uid() != request.target_uid {
                    return Err(Error::Moved(format!("{address} was replaced by another of its name")));
                }
            }
            found.push(self.member(address, *kind, live)?);
        }
        found.sort_by(|a, b| (&a.member.kind, &a.member.name).cmp(&(&b.member.kind, &b.member.name)));
        Ok(found)
    }

    /// A member as it is now. What is kept in a copy is not in the record.
    fn member(&self, address: Address<'_>, kind: MemberKind, live: Option<Live>) -> Result<Found, Error> {
        let mut member = Member {
            kind: kind.name().to_owned(),
            name: address.name.to_owned(),
            absent: live.is_none(),
            digest: String::new(),
            content: String::new(),
            copy: String::new(),
            creation: String::new(),
            owner: None,
        };
        let Some(live) = live else { return Ok(Found { kind, member, content: Value::Null }) };
        if kind == MemberKind::Secret && !secrets::looked_at(live.type_()) {
            return Err(Error::Moved(format!("{address} is of a type that is never recorded")));
        }
        let content = content::of(kind, live.object());
        let text = content::canonical(&content);
        if text.len() > LARGEST_MEMBER {
            let size = text.len();
            return Err(Error::Invalid(format!(
                "{address} has {size} bytes of content; at most {LARGEST_MEMBER} are recorded"
            )));
        }
        member.digest = self.digest(address, &text)?;
        member.owner = field_owner(kind, live.managed_fields());
        member.creation = creation(kind, &live);
        if kind.copied() {
            let short: String = member.digest.chars().take(16).collect();
            member.copy = format!("homeostat-{short}");
        } else {
            member.content = text;
        }
        Ok(Found { kind, member, content })
    }

    /// The immutable, content-addressed copy of a ConfigMap or Secret; shared between states.
    async fn copy(&self, namespace: &str, found: &Found) -> Result<Value, Error> {
        let (kind, name) = (found.kind, &found.member.copy);
        let mut object = json!({
            "apiVersion": "v1",
            "kind": kind.name(),
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {COPY_OF: kind.name(), "app.kubernetes.io/managed-by": "homeostat"},
            },
            "immutable": true,
        });
        if let (Value::Object(object), Value::Object(content)) = (&mut object, &found.content) {
            object.extend(content.clone());
        }
        let address = Address::new(Kind::Member(kind), namespace, name);
        match self.create(address, &object).await {
            Err(Error::Conflict) => {}
            answer => return answer.map_err(|error| refused(error, &address.to_string())),
        }
        let there = self.find(address).await?.ok_or(Error::Conflict)?;
        let digest = self.digest(address, &content::canonical(&content::of(kind, there.object())))?;
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
            groups: request.groups.iter().copied().collect(),
            members,
            evidence: request.evidence.clone(),
        };
        let seal = self.sealer.seal(namespace, &name, &record)?;
        let mut state = StableState::new(&name, StableStateSpec { record, seal, review: None });
        state.metadata.namespace = Some(namespace.to_owned());
        state.metadata.labels = Some([(POLICY.to_owned(), policy_label(&request.policy))].into());
        let address = Address::new(Kind::StableState, namespace, &name);
        match self.create(address, &as_json(&state)?).await {
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

/// What it takes besides its content to create the object again as it was: labels, annotations, a Service's address, and
/// what else a workload's spec says.
fn creation(kind: MemberKind, live: &Live) -> String {
    let metadata = |key: &str| at(live.object(), &["metadata", key]).and_then(Value::as_object).cloned();
    let mut annotations = metadata("annotations").unwrap_or_default();
    annotations.retain(|key, _| !OF_THE_MOMENT.contains(&key.as_str()));
    annotations.retain(|key, _| kind != MemberKind::Secret || HARMLESS.contains(&key.as_str()));
    let mut creation =
        json!({"metadata": {"labels": metadata("labels").unwrap_or_default(), "annotations": annotations}});
    let address = at(live.object(), &["spec", "clusterIP"]).filter(|_| kind == MemberKind::Service);
    if let (Some(address), Value::Object(creation)) = (address, &mut creation) {
        creation.insert("spec".to_owned(), json!({"clusterIP": address}));
    }
    if let (true, Value::Object(creation)) = (kind.workload(), &mut creation) {
        creation.insert("spec".to_owned(), rest_of_spec(kind, live));
    }
    let text = content::canonical(&creation);
    if text.len() > LARGEST_CREATION { String::new() } else { text }
}

/// A workload's spec without what is its content, and without how a rollout is held still.
fn rest_of_spec(kind: MemberKind, live: &Live) -> Value {
    let mut spec = live.spec().as_object().cloned().unwrap_or_default();
    let content = kind.parts().iter().filter_map(|part| part.get(1).copied());
    content.chain(["paused"]).for_each(|key| drop(spec.remove(key)));
    Value::Object(spec)
}
