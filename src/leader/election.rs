//! The loop around [`step`]: reads, guarded writes, permits.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::{LeaseView, Memory, Move, Permit, Settings, step};
use crate::api::FIELD_MANAGER;
use crate::clock;

/// Why a call to the lease failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("another process was faster")]
    Conflict,
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Refused(kube::Error),
    #[error("the API server returned a Lease without a resourceVersion, so no write to it can be guarded")]
    NoVersion,
}

/// Stands for election until `shutdown`, handing out permits; then gives up the permit and the lease.
///
/// `shutdown` must not resolve before every effect has ended: what comes after it is the successor's time.
pub async fn run(
    client: Client,
    settings: Settings,
    permit: watch::Sender<Permit>,
    shutdown: impl Future<Output = ()>,
) {
    let leases = Api::namespaced(client, &settings.namespace);
    let mut candidate = Candidate { leases, settings, permit, memory: Memory::default(), held: None };
    tokio::pin!(shutdown);
    loop {
        let pause = candidate.turn().await;
        tokio::select! {
            () = &mut shutdown => break,
            () = sleep(pause) => {}
        }
    }
    candidate.revoke();
    candidate.release().await;
}

/// One process that stands for election.
struct Candidate {
    leases: Api<Lease>,
    settings: Settings,
    permit: watch::Sender<Permit>,
    memory: Memory,
    /// The lease as we last wrote it: a renewal needs no read before.
    held: Option<Lease>,
}

impl Candidate {
    /// One look and at most one write; returns the pause before the next.
    async fn turn(&mut self) -> Duration {
        let began = clock::monotonic();
        let lease = match self.held.clone() {
            Some(lease) => Some(lease),
            None => match self.read().await {
                Ok(lease) => lease,
                Err(error) => return self.failed("read", &error),
            },
        };
        let view = lease.as_ref().map(LeaseView::of);
        let now = clock::monotonic();
        let step = step(view.as_ref(), &self.settings.identity, &self.settings, now, &mut self.memory);
        if let Move::Wait(until) = step {
            self.revoke();
            return until.saturating_duration_since(now).min(self.settings.retry());
        }
        // Counted from before the renewal is sent: nobody can have seen it earlier than that.
        let sent = clock::monotonic();
        match self.claim(lease.unwrap_or_default(), step).await {
            Ok(lease) => {
                self.held = Some(lease);
                let until = sent + self.settings.duration.saturating_sub(self.settings.margin());
                self.permit.send_replace(Permit { until });
                match step {
                    Move::Renew => debug!(lease = %self.settings.name, "renewed the lease"),
                    _ => info!(lease = %self.settings.name, identity = %self.settings.identity, "took the lease"),
                }
                self.settings.renewal().saturating_sub(clock::monotonic().saturating_duration_since(began))
            }
            Err(error) => {
                self.held = None;
                self.failed("write", &error)
            }
        }
    }

    /// The permit is left alone: it ends in time by itself.
    fn failed(&self, what: &str, error: &Error) -> Duration {
        let (namespace, name) = (&self.settings.namespace, &self.settings.name);
        if matches!(error, Error::Conflict) {
            debug!(%namespace, %name, "the lease changed before our write; reading it again");
            return self.settings.retry() / 10;
        }
        warn!(%namespace, %name, %error, "failed to {what} the lease; trying again until the permit ends and after");
        self.settings.retry()
    }

    /// Writes the lease in our name: a guarded PUT, or a create, which fails if somebody else creates it first.
    async fn claim(&mut self, mut lease: Lease, step: Move) -> Result<Lease, Error> {
        let now = clock::now();
        let term = *self.memory.term.get_or_insert(now);
        let previous = lease.spec.take().unwrap_or_default();
        // A count of holders, not of processes: a restarted container is the same holder.
        let same_holder = previous.holder_identity.as_deref() == Some(self.settings.identity.as_str());
        let transitions = previous.lease_transitions.unwrap_or(0);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(self.settings.whole_seconds()),
            acquire_time: Some(MicroTime(term)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(match step {
                Move::Create => 0,
                _ if same_holder => transitions,
                _ => transitions.saturating_add(1),
            }),
            ..previous
        });
        match step {
            Move::Create => {
                lease.metadata.name = Some(self.settings.name.clone());
                lease.metadata.namespace = Some(self.settings.namespace.clone());
                self.bounded(self.leases.create(&parameters(), &lease)).await
            }
            _ => self.replace(&lease).await,
        }
    }

    /// Empties the lease's holder, so that a successor need not wait. A failure costs the successor only time.
    async fn release(&mut self) {
        let Some(mut lease) = self.held.take() else { return };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(clock::now()));
        spec.lease_duration_seconds = Some(1);
        let name = &self.settings.name;
        match self.replace(&lease).await {
            Ok(_) => info!(lease = %name, "released the lease"),
            Err(error) => {
                warn!(lease = %name, %error, "failed to release the lease; a successor waits until it expires")
            }
        }
    }

    fn revoke(&self) {
        let now = clock::monotonic();
        self.permit.send_if_modified(|permit| {
            let valid = permit.valid(now);
            if valid {
                *permit = Permit::none(now);
            }
            valid
        });
    }

    async fn read(&self) -> Result<Option<Lease>, Error> {
        self.bounded(self.leases.get_opt(&self.settings.name)).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Error> {
        // Without a version the API server would overwrite whatever is there.
        if lease.resource_version().is_none_or(|version| version.is_empty()) {
            return Err(Error::NoVersion);
        }
        self.bounded(self.leases.replace(&self.settings.name, &parameters(), lease)).await
    }

    async fn bounded<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
        let deadline = self.settings.deadline();
        match timeout(deadline, call).await {
            Err(_) => Err(Error::Timeout(deadline)),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Error::Conflict),
            Ok(answer) => answer.map_err(Error::Refused),
        }
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
