//! The hands: every write of the operator to a workload or to its own records.
//!
//! One file per remediation. Each reads the object live, sees whether its effect is there already (so a repeat after
//! a crash does no harm), checks that what is there is what the step expects, and then sends one write that applies
//! only to exactly the object that was read. This module must not decide anything: what may be done, and when,
//! is said by the plan and recorded before it comes here. It must not repeat a call either.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod address;
mod call;
mod content_of_state;
mod cordon_node;
mod cut_dependency;
mod delete_lost_pod;
mod delete_pod;
mod deny_pod_network;
mod error;
mod evict_pod;
mod field_owner;
mod freeze_rollout;
mod hand_back_fields;
mod live;
mod move_route;
mod own_network_policy;
mod pre_scale_standby;
mod quarantine_pod;
mod quota;
mod record;
mod recreate_workload;
mod rehearse;
mod release_freeze;
mod remove_object;
mod renew_pods;
mod restore_object;
mod restore_template;
mod return_service;
mod seal;
mod stable_state;
mod stop_neighbour;
mod switch_service;
#[cfg(test)]
pub(crate) mod tests;
mod uncordon_node;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::sync::{Mutex, RwLock, watch};

pub use crate::plan::Receipt;
pub use error::Error;
pub use field_owner::field_owner;
pub use record::policy_label;
pub use seal::Sealer;
pub use stable_state::StateRequest;

use crate::api::stable_state::Group;
use crate::api::{Remediation, Step};
use crate::leader::Permit;
use crate::plan::content;
use crate::plan::member::MemberKind;
use crate::plan::{leftovers, owners};
use address::{Address, Kind};
use call::Version;
use live::{Edit, Live};

/// The longest a call may take.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// The one way to write to the cluster.
pub struct Hands {
    client: Client,
    permit: watch::Receiver<Permit>,
    sealer: Arc<Sealer>,
    deadline: Duration,
    /// Held shared while a state is recorded and alone while a copy is deleted, so that no copy goes while a new
    /// state begins to rely on it.
    copies: RwLock<()>,
    /// Held while a node is cordoned: how many are is counted before.
    cordoning: Mutex<()>,
    /// Whether every write says that nothing is to be stored.
    dry_run: bool,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// What was found out or done. Never `Refused`: that is an [`Error`].
    pub receipt: Receipt,
    /// The object as the API server last answered it, if it exists; `None` after a deletion.
    pub object: Option<Value>,
    /// What was changed, if content was put back that may be shown.
    pub change: String,
    /// What a restore brought back that was not there: paths of fields.
    pub leftovers: Vec<String>,
}

/// What is said of an object that had to be created.
const WHOLE: &str = "the whole object";

impl Effect {
    fn new(receipt: Receipt, object: Value) -> Self {
        Self { receipt, object: Some(object), change: String::new(), leftovers: vec![] }
    }

    /// Tells what was changed and what was brought back, if it was and may be shown.
    fn telling(self, kind: MemberKind, before: &Value, after: &Value) -> Self {
        if self.receipt != Receipt::Done || kind == MemberKind::Secret {
            return self;
        }
        Self { change: owners::change(before, after), leftovers: leftovers::of(kind, before, after), ..self }
    }

    /// Says that all of it was brought back, if it was.
    fn whole(self) -> Self {
        let leftovers = if self.receipt == Receipt::Done { vec![WHOLE.to_owned()] } else { vec![] };
        Self { leftovers, ..self }
    }

    fn without_object(receipt: Receipt) -> Self {
        Self { receipt, object: None, change: String::new(), leftovers: vec![] }
    }
}

/// A step with what belongs to it.
#[derive(Clone, Copy)]
struct Task<'a> {
    namespace: &'a str,
    recovery: &'a str,
    stable_state: &'a str,
    /// The ServiceAccount with whose rights guard rails are written.
    account: Option<&'a str>,
    step: &'a Step,
}

impl<'a> Task<'a> {
    /// The object of the step, which must be of a kind that the remediation is for.
    fn address(&self, kinds: &[Kind]) -> Result<Address<'a>, Error> {
        let object = &self.step.object;
        let kind = Kind::of_step(&object.kind)?;
        if !kinds.contains(&kind) {
            return Err(Error::Invalid(format!("{:?} does not apply to {object}", self.step.remediation)));
        }
        Ok(Address::new(kind, self.namespace, &object.name))
    }

    /// The kind of member that the step's object is.
    fn member(&self) -> Result<MemberKind, Error> {
        let object = &self.step.object;
        let other = || Error::Invalid(format!("{:?} does not apply to {object}", self.step.remediation));
        // Nothing that belongs to no namespace is ever written, and of namespaces only our own.
        let own =
            |kind: &MemberKind| !kind.outside() && (*kind != MemberKind::Namespace || object.name == self.namespace);
        MemberKind::of(&object.kind).filter(own).ok_or_else(other)
    }

    /// Where the step's object is. Guard rails are written with the rights of the policy's own ServiceAccount.
    fn member_address(&self, kind: MemberKind) -> Address<'a> {
        let account = self.account.filter(|_| kind.group() == Some(Group::GuardRails));
        Address { account, ..Address::new(Kind::Member(kind), self.namespace, &self.step.object.name) }
    }
}

/// What a remediation makes of the object it found.
enum Change {
    /// The effect is there.
    AlreadyDone,
    /// Something else is there.
    Moved(String),
    /// The write that has the effect.
    Write(Edit),
}

impl Hands {
    /// Hands that act only under `permit`, and give up a call after `deadline` (see [`DEADLINE`] and
    /// [`crate::leader::Settings::effect_deadline`]).
    #[must_use]
    pub fn new(client: Client, permit: watch::Receiver<Permit>, sealer: Arc<Sealer>, deadline: Duration) -> Self {
        Self { client, permit, sealer, deadline, copies: RwLock::new(()), cordoning: Mutex::new(()), dry_run: false }
    }

    /// Carries out one step of a Recovery: at most one write to the step's object, or two where an immutable one is
    /// created again. Guard rails are written with the rights of ServiceAccount `account`.
    ///
    /// # Errors
    /// [`Error::Moved`] and [`Error::Conflict`] mean that the object changed between our read and our write, by
    /// anybody, also by its own controller's status: try again, which reads again. [`Receipt::Moved`] means that its
    /// content is not what the step expects.
    pub async fn perform(
        &self,
        namespace: &str,
        recovery: &str,
        stable_state: &str,
        account: Option<&str>,
        step: &Step,
    ) -> Result<Effect, Error> {
        let task = Task { namespace, recovery, stable_state, account, step };
        match step.remediation {
            Remediation::FreezeRollout => self.change(&task, &Kind::WORKLOADS, freeze_rollout::change).await,
            Remediation::ReleaseFreeze => self.change(&task, &Kind::WORKLOADS, release_freeze::change).await,
            Remediation::RestoreTemplate => restore_template::perform(self, &task).await,
            Remediation::RenewPods => self.change(&task, &Kind::WORKLOADS, renew_pods::change).await,
            Remediation::RecreateWorkload => recreate_workload::perform(self, &task).await,
            Remediation::RestoreObject => restore_object::perform(self, &task).await,
            Remediation::RemoveObject => remove_object::perform(self, &task).await,
            Remediation::HandBackFields => {
                let address = match Kind::of_step(&step.object.kind)? {
                    Kind::Member(_) => task.member_address(task.member()?),
                    _ => task.address(&Kind::NEIGHBOURS)?,
                };
                // What we created has no uid in the plan; that fields of it are ours tells it.
                let live = match step.object.uid.is_empty() {
                    true => self.find(address).await?.filter(|live| !live.deleting()),
                    false => self.live(&task, address).await?,
                };
                let Some(live) = live else { return Ok(Effect::without_object(Receipt::Gone)) };
                let change = hand_back_fields::change(&task, &live)?;
                self.apply(address, live, change).await
            }
            Remediation::QuarantinePod => self.change(&task, &[Kind::Pod], quarantine_pod::change).await,
            Remediation::EvictPod => evict_pod::perform(self, &task).await,
            Remediation::DeletePod => delete_pod::perform(self, &task).await,
            Remediation::SwitchService => self.change(&task, &[Kind::SERVICE], switch_service::change).await,
            Remediation::ReturnService => self.change(&task, &[Kind::SERVICE], return_service::change).await,
            Remediation::SwitchRoute | Remediation::ShiftRoute | Remediation::ReturnRoute => {
                self.change(&task, &Kind::ROUTES, move_route::change).await
            }
            Remediation::CordonNode => cordon_node::perform(self, &task).await,
            Remediation::UncordonNode => self.change(&task, &[Kind::Node], uncordon_node::change).await,
            Remediation::DeleteLostPod => delete_lost_pod::perform(self, &task).await,
            Remediation::DenyPodNetwork => deny_pod_network::perform(self, &task).await,
            Remediation::AllowPodNetwork => deny_pod_network::end(self, &task).await,
            Remediation::CutDependency => cut_dependency::perform(self, &task).await,
            Remediation::ReleaseDependency => cut_dependency::end(self, &task).await,
            Remediation::StopNeighbour => self.change(&task, &Kind::NEIGHBOURS, stop_neighbour::change).await,
            Remediation::ReleaseNeighbour => self.change(&task, &Kind::NEIGHBOURS, stop_neighbour::release).await,
            Remediation::PreScaleStandby => self.change(&task, &[Kind::AUTOSCALER], pre_scale_standby::change).await,
            Remediation::ReleaseStandby => self.change(&task, &[Kind::AUTOSCALER], pre_scale_standby::release).await,
        }
    }

    /// Reads the object, asks `decide` what to make of it, and does that.
    async fn change(
        &self,
        task: &Task<'_>,
        kinds: &[Kind],
        decide: impl FnOnce(&Task<'_>, &Live) -> Result<Change, Error>,
    ) -> Result<Effect, Error> {
        let address = task.address(kinds)?;
        match self.live(task, address).await? {
            None => Ok(Effect::without_object(Receipt::Gone)),
            Some(live) => {
                let change = decide(task, &live)?;
                self.apply(address, live, change).await
            }
        }
    }

    async fn apply(&self, address: Address<'_>, live: Live, change: Change) -> Result<Effect, Error> {
        let edit = match change {
            Change::AlreadyDone => return Ok(Effect::new(Receipt::AlreadyDone, live.into_object())),
            Change::Moved(why) => return Ok(Effect::new(Receipt::Moved(why), live.into_object())),
            Change::Write(edit) => edit,
        };
        let before = Version { uid: Some(live.uid()), resource_version: Some(live.resource_version()) };
        match self.patch(address, "", &before, edit.operations()).await {
            Ok(object) => Ok(Effect::new(Receipt::Done, object)),
            Err(Error::Gone) => Ok(Effect::without_object(Receipt::Gone)),
            Err(error) => Err(error),
        }
    }

    /// The step's object as it is now; `None` if it is gone, going, or another object has its name.
    async fn live(&self, task: &Task<'_>, address: Address<'_>) -> Result<Option<Live>, Error> {
        let uid = &task.step.object.uid;
        if uid.is_empty() {
            return Err(Error::Invalid(format!("the step names no uid for {address}, so the object cannot be told")));
        }
        let found = self.find(address).await?;
        Ok(found.filter(|live| live.uid() == uid && !live.deleting()))
    }

    /// The digest of a member's content, as canonical JSON.
    fn digest(&self, address: Address<'_>, content: &str) -> Result<String, Error> {
        if address.kind != Kind::SECRET {
            return Ok(content::digest(content));
        }
        let own = || Error::Invalid(format!("{address} keeps the key for seals, and is no member of anything"));
        self.sealer.secret_digest(address.namespace, address.name, content).ok_or_else(own)
    }

    /// The object of this name as it is now, if there is one.
    async fn find(&self, address: Address<'_>) -> Result<Option<Live>, Error> {
        let object = match self.get(address).await {
            Ok(object) => object,
            Err(Error::Gone) => return Ok(None),
            Err(error) => return Err(error),
        };
        let live = Live::new(object);
        // Without these nothing that is written could be guarded.
        if live.uid().is_empty() || live.resource_version().is_empty() {
            return Err(Error::Transient(format!("{address} was answered without a uid or a resourceVersion")));
        }
        Ok(Some(live))
    }
}
