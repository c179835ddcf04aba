//! The writers of our own objects: journals, the status of policies, and the removal of old states and copies.

use json_patch::{AddOperation, PatchOperation, TestOperation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};

use super::address::{Address, Kind};
use super::call::Version;
use super::live::pointer;
use super::{Error, Hands, Receipt};
use crate::api::condition::{ConditionType, status_word};
use crate::api::mark::{COPY_OF, POLICY};
use crate::api::recovery::Isolation;
use crate::api::stable_state::Review;
use crate::api::{GROUP, Reason, VERSION};
use crate::api::{Journal, Phase, Recovery, RecoveryBudgetStatus, RecoveryPolicyStatus, RecoverySpec, StableState};
use crate::plan::content;
use crate::plan::member::MemberKind;

/// The longest value a label can have.
const LONGEST_LABEL: usize = 63;

/// The condition that says of an isolation whether it is proven.
fn isolated(isolation: &Isolation) -> Condition {
    Condition {
        type_: ConditionType::Isolated.as_str().to_owned(),
        status: status_word(Some(isolation.reason == Reason::IsolationProven)).to_owned(),
        reason: isolation.reason.as_str().to_owned(),
        message: isolation.message.clone(),
        observed_generation: None,
        last_transition_time: Time(isolation.since.0),
    }
}

impl Hands {
    /// Opens a Recovery: its first intent travels in the body, so that it is on record before any effect.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of that name.
    pub async fn open_recovery(
        &self,
        namespace: &str,
        name: &str,
        policy: &str,
        spec: RecoverySpec,
    ) -> Result<Value, Error> {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([(POLICY.to_owned(), policy_label(policy))].into()),
            ..ObjectMeta::default()
        };
        let object = as_json(&Recovery { metadata, spec, status: None })?;
        self.create(Address::new(Kind::Recovery, namespace, name), &object)
            .await
            .map_err(|error| refused(error, &format!("Recovery {name}")))
    }

    /// Writes a Recovery's journal as it is to be, if nobody wrote it since `resource_version`: the second fence
    /// against two leaders.
    ///
    /// # Errors
    /// [`Error::Moved`] or [`Error::Conflict`] if somebody did.
    pub async fn write_journal(
        &self,
        namespace: &str,
        name: &str,
        resource_version: &str,
        journal: &Journal,
    ) -> Result<Value, Error> {
        let address = Address::new(Kind::Recovery, namespace, name);
        let isolation = journal.isolation.as_ref().map(isolated);
        let status = match isolation {
            Some(isolated) => json!({"journal": as_json(journal)?, "conditions": [isolated]}),
            None => json!({"journal": as_json(journal)?}),
        };
        self.write_status(address, Some(resource_version), status).await
    }

    /// Writes a policy's status. Without a version whatever is there is replaced.
    ///
    /// # Errors
    /// [`Error::Moved`] or [`Error::Conflict`] if somebody wrote the policy since `resource_version`.
    pub async fn write_policy_status(
        &self,
        namespace: &str,
        name: &str,
        resource_version: Option<&str>,
        status: &RecoveryPolicyStatus,
    ) -> Result<Value, Error> {
        let address = Address::new(Kind::RecoveryPolicy, namespace, name);
        self.write_status(address, resource_version, as_json(status)?).await
    }

    /// Writes a RecoveryBudget's status. Whatever is there is replaced.
    ///
    /// # Errors
    /// As for any call.
    pub async fn write_budget_status(&self, name: &str, status: &RecoveryBudgetStatus) -> Result<Value, Error> {
        let address = Address::new(Kind::RecoveryBudget, "", name);
        self.write_status(address, None, as_json(status)?).await
    }

    /// Every Recovery that is not closed, as it is in the API server now: for who begins to lead, because what its
    /// predecessor wrote last may not have been heard of yet. In one namespace, or in all.
    ///
    /// # Errors
    /// As for any call.
    pub async fn open_recoveries(&self, namespace: Option<&str>) -> Result<Vec<Value>, Error> {
        let collection = match namespace {
            Some(namespace) => Kind::Recovery.collection(namespace)?,
            None => format!("/apis/{GROUP}/{VERSION}/recoveries"),
        };
        self.list_at(&format!("{collection}?fieldSelector=status.journal.phase%21%3DClosed")).await
    }

    /// Deletes a state that is not needed any more. One that a person pinned meanwhile is left alone.
    ///
    /// # Errors
    /// As for any call.
    pub async fn delete_state(&self, namespace: &str, name: &str) -> Result<Receipt, Error> {
        let address = Address::new(Kind::StableState, namespace, name);
        let Some(live) = self.find(address).await? else { return Ok(Receipt::AlreadyDone) };
        if live.spec().get("review") == Some(&json!(Review::Pin)) {
            return Ok(Receipt::Moved(format!("{address} was pinned meanwhile")));
        }
        deleted(self.delete(address, &live).await)
    }

    /// Deletes a Recovery that is not needed any more. One that is open is never deleted, whoever asks.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it cannot be read.
    pub async fn delete_recovery(&self, namespace: &str, name: &str) -> Result<Receipt, Error> {
        let address = Address::new(Kind::Recovery, namespace, name);
        let Some(live) = self.find(address).await? else { return Ok(Receipt::AlreadyDone) };
        let recovery: Recovery = serde_json::from_value(live.object().clone())
            .map_err(|error| Error::Invalid(format!("{address} cannot be read: {error}")))?;
        if recovery.journal().phase != Phase::Closed {
            return Ok(Receipt::Moved(format!("{address} is open")));
        }
        deleted(self.delete(address, &live).await)
    }

    /// Deletes a copy that no state needs any more, as the API server says, not as a cache does.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the object is not a copy of ours.
    pub async fn delete_copy(&self, namespace: &str, kind: MemberKind, name: &str) -> Result<Receipt, Error> {
        let _alone = self.copies.write().await;
        let address = Address::new(Kind::Member(kind), namespace, name);
        let Some(live) = self.find(address).await? else { return Ok(Receipt::AlreadyDone) };
        if !kind.copied() || live.label(COPY_OF).is_none() || !live.immutable() {
            return Err(Error::Invalid(format!("{address} is not a copy of ours; it is never deleted")));
        }
        for state in self.list(Kind::StableState, namespace).await? {
            // A state that cannot be read may need it.
            let needs = serde_json::from_value(state)
                .map_or(true, |state: StableState| state.spec.record.members.iter().any(|member| member.copy == name));
            if needs {
                return Ok(Receipt::Moved(format!("{address} is needed by a stable state")));
            }
        }
        deleted(self.delete(address, &live).await)
    }

    async fn write_status(
        &self,
        address: Address<'_>,
        resource_version: Option<&str>,
        status: Value,
    ) -> Result<Value, Error> {
        let test = resource_version.map(|version| {
            PatchOperation::Test(TestOperation {
                path: pointer(&["metadata", "resourceVersion"]),
                value: json!(version),
            })
        });
        let add = PatchOperation::Add(AddOperation { path: pointer(&["status"]), value: status });
        let operations: Vec<_> = test.into_iter().chain([add]).collect();
        self.patch(address, "/status", &Version { uid: None, resource_version }, &operations).await
    }
}

/// A policy's name as the value of a label: cut and told apart by a digest where it is too long for one.
#[must_use]
pub fn policy_label(policy: &str) -> String {
    if policy.len() <= LONGEST_LABEL {
        return policy.to_owned();
    }
    let digest: String = content::digest(policy).chars().take(8).collect();
    format!("{}-{digest}", cut_name(policy, LONGEST_LABEL - 9))
}

/// The beginning of a name, at most `length` characters, that can be followed by `-`.
pub(super) fn cut_name(name: &str, length: usize) -> String {
    let cut: String = name.chars().take(length).collect();
    cut.trim_end_matches(|last: char| !last.is_ascii_alphanumeric()).to_owned()
}

pub(super) fn as_json(object: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(|error| Error::Invalid(format!("a record cannot be written as JSON: {error}")))
}

/// A create has no `test` that could fail: its 422 is a refusal.
pub(super) fn refused(error: Error, what: &str) -> Error {
    match error {
        Error::Moved(message) => Error::Invalid(format!("the API server refused to create {what}: {message}")),
        other => other,
    }
}

fn deleted(answer: Result<(), Error>) -> Result<Receipt, Error> {
    match answer {
        Ok(()) => Ok(Receipt::Done),
        Err(Error::Gone) => Ok(Receipt::AlreadyDone),
        Err(error) => Err(error),
    }
}
