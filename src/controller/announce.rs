//! What people and machines are told: Events, metrics, log lines. It must not decide anything, and its failure must
//! not stop anything.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::timeout;

use crate::act::DEADLINE;
use crate::api::{FIELD_MANAGER, GROUP, Journal, Outcome, Phase, Step, VERSION};
use crate::metrics::{Ended, Metrics, Refused, Written};
use crate::observe::PolicyKey;
use crate::plan::Notice;
use crate::plan::facts::Facts;

/// Tells what was recorded and done.
pub(super) struct Announcer {
    recorder: Recorder,
    metrics: Arc<Metrics>,
}

impl Announcer {
    pub(super) fn new(client: Client, identity: &str, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorder::new(client, reporter), metrics }
    }

    /// A journal was written.
    pub(super) async fn recorded(&self, facts: &Facts, journal: &Journal, notices: &[Notice]) {
        if notices.is_empty() {
            return;
        }
        self.count(journal);
        for notice in notices {
            let place = (&facts.namespace, &facts.policy_name);
            let Notice { reason, warning, message } = notice;
            match warning {
                true => tracing::warn!(namespace = %place.0, policy = %place.1, %reason, "{message}"),
                false => tracing::info!(namespace = %place.0, policy = %place.1, %reason, "{message}"),
            }
            let event = event(notice);
            for reference in references(facts, journal) {
                self.publish(&event, &reference).await;
            }
        }
    }

    /// A step of a Recovery was carried out, or was not.
    pub(super) fn performed(&self, key: &PolicyKey, recovery: &str, step: &Step, result: &'static str) {
        let remediation = format!("{:?}", step.remediation);
        tracing::info!(policy = %key, recovery, remediation, object = %step.object, result, "step");
        self.metrics.writes.get_or_create(&Written { write: remediation, result }).inc();
    }

    /// A record of ours was written, or was not.
    pub(super) fn wrote(&self, what: &'static str, result: &'static str) {
        self.metrics.writes.get_or_create(&Written { write: what.to_owned(), result }).inc();
    }

    fn count(&self, journal: &Journal) {
        if journal.phase != Phase::Closed {
            for alternative in &journal.decision.alternatives {
                self.metrics.refusals.get_or_create(&Refused { reason: alternative.reason.as_str() }).inc();
            }
            return;
        }
        let outcome = journal.outcome.map(|outcome| format!("{outcome:?}")).unwrap_or_default();
        let remedy = format!("{:?}", journal.decision.remedy);
        self.metrics.recoveries.get_or_create(&Ended { remedy, outcome }).inc();
        if journal.outcome == Some(Outcome::Recovered) {
            self.metrics.phases(&journal.timeline);
        }
    }

    async fn publish(&self, event: &Event, reference: &ObjectReference) {
        match timeout(DEADLINE, self.recorder.publish(event, reference)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an Event could not be written"),
            Err(_) => tracing::debug!("an Event was not answered in time"),
        }
    }
}

/// The longest note that the API server takes is 1 kB.
fn event(notice: &Notice) -> Event {
    Event {
        type_: if notice.warning { EventType::Warning } else { EventType::Normal },
        reason: notice.reason.as_str().to_owned(),
        note: Some(notice.message.chars().take(240).collect()),
        action: "Recover".to_owned(),
        secondary: None,
    }
}

/// The policy and its target, those of them that still exist.
fn references(facts: &Facts, journal: &Journal) -> Vec<ObjectReference> {
    let reference = |api_version: &str, kind: &str, name: &str, uid: &str| ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
        namespace: Some(facts.namespace.clone()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    };
    let policy = facts
        .policy
        .as_ref()
        .map(|policy| reference(&format!("{GROUP}/{VERSION}"), "RecoveryPolicy", &facts.policy_name, &policy.uid));
    let target = facts.target.as_ref().filter(|target| target.uid == journal.target.uid);
    let target = target.map(|target| reference("apps/v1", target.kind.name(), &target.name, &target.uid));
    policy.into_iter().chain(target).collect()
}
