//! Ask whether a stable state could be restored now, and whether its pods could be created. Nothing is stored.
//!
//! Every write says `dryRun=All`; whatever the API server would refuse, it refuses here: a missing ServiceAccount, Pod
//! Security, quotas, limits, admission policies. What admission does not look at is looked at here: whether referenced
//! objects exist, and whether we have the rights that a restore needs. This module must not judge what follows.

use std::collections::BTreeSet;

use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::sync::{Mutex, RwLock};
use tokio::time::timeout;

use super::address::{Address, Kind};
use super::call::{NO_DRY_RUN, Version, request};
use super::live::{Edit, Live};
use super::quota::room_for_successor;
use super::{Error, Hands, Receipt, Task, content_of_state, restore_object};
use crate::api::{Reason, Step};
use crate::plan::facts::Feasibility;
use crate::plan::rehearsal::{Rehearse, Rollback};
use crate::plan::{content, posture, references};

/// More references of one template are not looked at.
const MOST_REFERENCES: usize = 64;
/// The most characters of the target's name in the name of its pod.
const LONGEST_NAME: usize = 200;
/// The longest sentence of the API server that is repeated, in characters.
const LONGEST_MESSAGE: usize = 400;
/// Whether an object exists is all that we want to know: of a Secret, nothing else is even sent.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
/// Of a workload that does not exist yet.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// What one check came to. A check that found nothing wrong says nothing.
#[derive(Clone, Debug, PartialEq)]
enum Finding {
    Refused(Reason, String),
    Unchecked(String),
    Unknown { message: String, lasting: bool },
}

impl Hands {
    /// Asks the API server whether the state could be restored now. Every failure to get an answer is an answer.
    pub async fn rehearse(&self, namespace: &str, request: &Rehearse) -> Feasibility {
        let hands = Self {
            client: self.client.clone(),
            permit: self.permit.clone(),
            sealer: self.sealer.clone(),
            deadline: self.deadline,
            copies: RwLock::new(()),
            cordoning: Mutex::new(()),
            dry_run: true,
        };
        let rehearsal = Rehearsal { hands: &hands, namespace, request };
        // Two calls stand behind each other at least, and each has its own deadline.
        match timeout(self.deadline * 2, rehearsal.findings()).await {
            Ok(findings) => feasibility(findings),
            Err(_) => Feasibility::Unknown { message: "no answer in time".to_owned(), lasting: false },
        }
    }
}

/// The first refusal counts; without one, the first thing that is unknown.
fn feasibility(findings: Vec<Finding>) -> Feasibility {
    let (mut unchecked, mut unknown) = (vec![], None);
    for finding in findings {
        match finding {
            Finding::Refused(reason, message) => return Feasibility::Infeasible { reason, message: cut(&message) },
            Finding::Unchecked(what) => unchecked.push(what),
            Finding::Unknown { message, lasting } => {
                unknown.get_or_insert(Feasibility::Unknown { message: cut(&message), lasting });
            }
        }
    }
    unknown.unwrap_or(Feasibility::Feasible { unchecked })
}

struct Rehearsal<'a> {
    hands: &'a Hands,
    namespace: &'a str,
    request: &'a Rehearse,
}

impl Rehearsal<'_> {
    /// In the order in which they count.
    async fn findings(&self) -> Vec<Finding> {
        let kind = match Kind::of_step(&self.request.workload.object.kind) {
            Ok(kind) => kind,
            Err(error) => return vec![finding(error, Reason::RestoreRefused)],
        };
        let task = self.task(&self.request.workload);
        let (may_create, stable, rights) =
            tokio::join!(self.may("create", Kind::Pod, None), content_of_state::read(self.hands, &task), self.rights());
        let stable = match stable {
            Ok(stable) => stable,
            Err(error) => return vec![finding(error, Reason::RestoreRefused)],
        };
        let content = match self.kept(&task, stable.content).await {
            Ok(content) => content,
            Err(error) => return vec![finding(error, Reason::RestoreRefused)],
        };
        let template = content.pointer("/spec/template").unwrap_or(&Value::Null);
        let (pod, missing, workload, members) = tokio::join!(
            self.pod(template, may_create),
            self.references(template),
            self.workload(kind, &content),
            self.members()
        );
        [pod, missing, workload, members, rights].concat()
    }

    fn task<'t>(&'t self, step: &'t Step) -> Task<'t> {
        Task { namespace: self.namespace, recovery: "", stable_state: &self.request.state, account: None, step }
    }

    /// The recorded content with what the step keeps of the live one.
    async fn kept(&self, task: &Task<'_>, stable: Value) -> Result<Value, Error> {
        if task.step.keeps.is_empty() {
            return Ok(stable);
        }
        let kind = task.member()?;
        let live = self.hands.find(task.member_address(kind)).await?.ok_or(Error::Gone)?;
        Ok(posture::kept(kind, &content::of(kind, live.object()), &stable))
    }

    /// A pod as the ReplicaSet of the state would make it.
    async fn pod(&self, template: &Value, may_create: Result<bool, Error>) -> Vec<Finding> {
        match may_create {
            Ok(true) => {}
            Ok(false) => {
                let what = "whether its pods could be created (no right to create pods in a dry run)";
                return vec![Finding::Unchecked(what.to_owned())];
            }
            Err(error) => return vec![unasked(error)],
        }
        let pod = pod(template, self.namespace, &self.request.workload);
        let message = match self.hands.create(Address::new(Kind::Pod, self.namespace, ""), &pod).await {
            Ok(_) => return vec![],
            Err(Error::Forbidden(message) | Error::Moved(message)) => message,
            Err(error) => return vec![finding(error, Reason::PodRefused)],
        };
        if room_for_successor(&message, self.request.pods) == Some(true) {
            // Quotas are asked last: nothing else refuses it. A rollout and a replacement go one by one as well.
            return vec![];
        }
        vec![Finding::Refused(Reason::PodRefused, message)]
    }

    /// What pods of the state need, that is there neither now nor by a restore.
    async fn references(&self, template: &Value) -> Vec<Finding> {
        let needed = references::required(template);
        let all = needed.config_maps.iter().map(|name| (Kind::CONFIG_MAP, name));
        let all = all.chain(needed.secrets.iter().map(|name| (Kind::SECRET, name)));
        let restored = |(kind, name): &(Kind, &String)| match (&self.request.rollback, *kind) {
            (Some(rollback), Kind::SECRET) => rollback.secrets.contains(*name),
            (Some(rollback), _) => rollback.config_maps.contains(*name),
            (None, _) => false,
        };
        let all = all.filter(|needed| !restored(needed));
        let all = all.chain(needed.claims.iter().map(|name| (Kind::PersistentVolumeClaim, name)));
        let mut findings = vec![];
        for (kind, name) in all.take(MOST_REFERENCES) {
            findings.extend(self.reference(kind, name).await);
        }
        findings
    }

    /// We ask for the right first: a read that is refused would be an alarm in somebody's audit log.
    async fn reference(&self, kind: Kind, name: &str) -> Option<Finding> {
        match self.may("get", kind, Some(name)).await {
            Ok(true) => {}
            Ok(false) => return Some(Finding::Unchecked(format!("{kind} {name} (no right to read it)"))),
            Err(error) => return Some(unasked(error)),
        }
        let missing = match self.look_for(Address::new(kind, self.namespace, name)).await {
            Ok(None) => return None,
            Ok(Some(missing)) => missing,
            Err(Error::Forbidden(_)) => {
                return Some(Finding::Unchecked(format!("{kind} {name} (no right to read it)")));
            }
            Err(error) => return Some(finding(error, Reason::ReferenceMissing)),
        };
        let message = format!("{kind} {name}, which its pods need, {missing}");
        Some(Finding::Refused(Reason::ReferenceMissing, message))
    }

    /// What is the matter with an object, if it is not there for new pods.
    async fn look_for(&self, address: Address<'_>) -> Result<Option<&'static str>, Error> {
        let mut request = request(Method::GET, &address.path()?, "application/json", None)?;
        request.headers_mut().insert(header::ACCEPT, METADATA_ONLY);
        match self.hands.call(request).await {
            Ok(object) => Ok(Live::new(object).deleting().then_some("is being deleted")),
            Err(Error::Gone) => Ok(Some("does not exist")),
            Err(error) => Err(error),
        }
    }

    /// The write that puts the workload back, from what is live now. If nothing differs, one that changes nothing:
    /// admission looks at it all the same.
    async fn workload(&self, kind: Kind, stable: &Value) -> Vec<Finding> {
        if self.request.rollback.is_none() {
            return vec![];
        }
        let object = &self.request.workload.object;
        if object.uid.is_empty() {
            return self.creation(kind).await;
        }
        let address = Address::new(kind, self.namespace, &object.name);
        let live = match self.hands.find(address).await {
            Ok(Some(live)) if live.uid() == object.uid => live,
            Ok(_) => return vec![moved(format!("{address} was replaced meanwhile"))],
            Err(error) => return vec![finding(error, Reason::RestoreRefused)],
        };
        let member = match kind {
            Kind::Member(member) => member,
            _ => return vec![],
        };
        let mut edit = restore_object::put_back(&live, member, &content::of(member, live.object()), stable);
        if edit.operations().len() == Edit::of(&live).operations().len() {
            edit.set(&["spec", "template"], live.spec().get("template").cloned().unwrap_or_default());
        }
        let before = Version { uid: Some(live.uid()), resource_version: Some(live.resource_version()) };
        match self.hands.patch(address, "", &before, edit.operations()).await {
            Ok(_) => vec![],
            Err(error) => vec![self.refusal(error, "patch", kind).await],
        }
    }

    /// The create of a workload that was deleted.
    async fn creation(&self, kind: Kind) -> Vec<Finding> {
        match self.may("create", kind, None).await {
            Ok(true) => {}
            Ok(false) => return vec![no_right("create", kind)],
            Err(error) => return vec![unasked(error)],
        }
        let (state, step) = (&self.request.state, &self.request.workload);
        match self.hands.perform(self.namespace, "", state, None, step).await.map(|effect| effect.receipt) {
            Ok(Receipt::Moved(why)) => vec![moved(why)],
            Ok(_) => vec![],
            Err(error) => vec![finding(error, Reason::RestoreRefused)],
        }
    }

    /// The steps of a rollback beside the workload, exactly as they would be carried out.
    async fn members(&self) -> Vec<Finding> {
        let mut findings = vec![];
        for step in self.request.rollback.iter().flat_map(|rollback| &rollback.steps) {
            let performed = self.hands.perform(self.namespace, "", &self.request.state, None, step).await;
            match performed.map(|effect| effect.receipt) {
                Ok(Receipt::Done | Receipt::AlreadyDone) => {}
                Ok(Receipt::Moved(why) | Receipt::Refused(why)) => findings.push(moved(why)),
                Ok(Receipt::Gone) => findings.push(moved(format!("{} was deleted meanwhile", step.object))),
                Err(error) => findings.push(match Kind::of_step(&step.object.kind) {
                    Ok(kind) => {
                        self.refusal(error, if step.object.uid.is_empty() { "create" } else { "patch" }, kind).await
                    }
                    Err(error) => finding(error, Reason::RestoreRefused),
                }),
            }
        }
        findings
    }

    /// Why a write was refused: the same code says that the right is missing, and that admission refuses it.
    async fn refusal(&self, error: Error, verb: &str, kind: Kind) -> Finding {
        let Error::Forbidden(message) = error else { return finding(error, Reason::RestoreRefused) };
        match self.may(verb, kind, None).await {
            Ok(false) => no_right(verb, kind),
            _ => Finding::Refused(Reason::RestoreRefused, message),
        }
    }

    /// The rights that a restore of any member needs. That of the workload shows when its write is rehearsed.
    async fn rights(&self) -> Vec<Finding> {
        let kinds: BTreeSet<&str> =
            self.request.rollback.iter().flat_map(|Rollback { kinds, .. }| kinds.iter().map(String::as_str)).collect();
        let kinds = kinds.into_iter().filter_map(|kind| Kind::of_step(kind).ok());
        let rights: Vec<_> = kinds.flat_map(|kind| [("patch", kind), ("create", kind)]).collect();
        let asked = rights.into_iter().map(|(verb, kind)| async move {
            match self.may(verb, kind, None).await {
                Ok(true) => None,
                Ok(false) => Some(no_right(verb, kind)),
                Err(error) => Some(unasked(error)),
            }
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Whether we have a right, by the API server's own word.
    async fn may(&self, verb: &str, kind: Kind, name: Option<&str>) -> Result<bool, Error> {
        let path = kind.collection(self.namespace)?;
        let group = path.strip_prefix("/apis/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": self.namespace, "verb": verb, "group": group, "resource": kind.plural(), "name": name,
            }},
        });
        let answer = self.hands.call(request(Method::POST, REVIEWS, "application/json", Some(&review))?).await?;
        Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true)))
    }
}

/// As its ReplicaSet would make it, and as if one did: policies may refuse a pod that nobody controls.
fn pod(template: &Value, namespace: &str, workload: &Step) -> Value {
    let short: String = workload.object.name.chars().take(LONGEST_NAME).collect();
    let mut metadata = json!({
        "namespace": namespace,
        "generateName": format!("{}-", workload.object.name),
        // Else the API server draws one, and its answer reads differently every time.
        "name": format!("{}-rehearsal", short.trim_end_matches(['-', '.'])),
        "ownerReferences": [{
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": workload.object.name,
            "uid": if workload.object.uid.is_empty() { NO_UID } else { &workload.object.uid },
            "controller": true,
        }],
    });
    for part in ["labels", "annotations"] {
        if let (Some(value), Some(map)) = (template.pointer(&format!("/metadata/{part}")), metadata.as_object_mut()) {
            map.insert(part.to_owned(), value.clone());
        }
    }
    let spec = template.get("spec").cloned().unwrap_or_default();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

fn no_right(verb: &str, kind: Kind) -> Finding {
    let message = format!("no right to {verb} {}; grant it in the chart's values (capabilities)", kind.plural());
    Finding::Refused(Reason::RightMissing, message)
}

fn moved(message: String) -> Finding {
    Finding::Unknown { message, lasting: false }
}

/// We could not even ask for our rights.
fn unasked(error: Error) -> Finding {
    let lasting = matches!(error, Error::Forbidden(_) | Error::Invalid(_));
    Finding::Unknown { message: format!("our rights cannot be asked for: {error}"), lasting }
}

/// What an error means that is no refusal by itself. `reason` is that of the check.
fn finding(error: Error, reason: Reason) -> Finding {
    match error {
        Error::Invalid(message) if message.contains(NO_DRY_RUN) => Finding::Unknown { message, lasting: true },
        Error::Invalid(message) | Error::Forbidden(message) => Finding::Refused(reason, message),
        error => Finding::Unknown { message: error.to_string(), lasting: false },
    }
}

fn cut(message: &str) -> String {
    message.chars().take(LONGEST_MESSAGE).collect()
}
