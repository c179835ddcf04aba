//! Wiring: who is due, one step of the loop for each, and the supervision of everything that runs beside it.
//!
//! The order of a step is fixed in [`operator`]: observe, plan, record, act, announce. This module must not judge
//! anything, and starts no task that it does not wait for: the end of any of them ends the process.

mod announce;
mod asking;
mod dispatch;
mod keeper;
mod ledger;
mod operator;
mod rehearsing;
mod schedule;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::act::{Hands, Sealer};
use crate::admin::{self, Health};
use crate::leader::{self, Permit};
use crate::metrics::Metrics;
use crate::observe::{Kind, Observer, Providers, SecretDigest};
use crate::plan::facts::Ceiling;
use crate::settings::Settings;
use crate::{client, clock};
use announce::Announcer;
use dispatch::Dispatcher;
use ledger::Ledger;
use operator::Operator;

/// How long the lease may take to be given up at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Runs the operator until it is told to stop.
///
/// # Errors
/// If it cannot start, or if anything that must go on has ended.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let client = client::connect().await?;
    let sealer = Sealer::load(&client, &settings.namespace, &settings.seal_secret).await;
    let sealer = Arc::new(sealer.context("failed to get the key for sealing stable states")?);
    let metrics = Arc::new(Metrics::default());

    let providers = settings.providers.iter().map(|provider| (provider.name.clone(), provider.address.clone()));
    let providers = Providers::new(providers).context("a metrics provider cannot be used (--provider)")?;
    let (observer, mut reflectors) = observe(&client, &settings, &sealer);
    let ready = Arc::new(AtomicBool::new(false));
    let health = Health { metrics: Arc::clone(&metrics), ready: Arc::clone(&ready) };
    let mut admin = Beside::start(|over| admin::serve(settings.admin_address, health, over));

    let election = settings.election();
    let (grant, permit) = watch::channel(Permit::none(clock::monotonic()));
    let hands = Hands::new(client.clone(), permit.clone(), sealer, election.effect_deadline());
    let operator = Arc::new(Operator {
        hands,
        permit: permit.clone(),
        ceiling: Ceiling {
            mode: settings.mode_ceiling,
            suspended: settings.suspend,
            secrets: settings.secrets,
            neighbours: settings.neighbours,
            pod_network: settings.pod_network,
            gateway_api: settings.gateway_api,
            cluster_members: settings.cluster_members,
        },
        announcer: Announcer::new(client.clone(), &settings.identity, Arc::clone(&metrics)),
        observer: observer.clone(),
        providers,
        metrics,
        rehearsal_interval: settings.rehearsals(),
        namespaces: settings.watch_namespaces,
        ledger: Ledger::default(),
        taking_over: tokio::sync::Mutex::default(),
    });
    let mut election = Beside::start(|over| async move {
        leader::run(client, election, grant, over).await;
        Ok(())
    });

    let work = async {
        observer.ready().await;
        ready.store(true, Ordering::Release);
        tracing::info!("every kind was listed");
        operator.ledger.begin(observer.stores().policies(), &observer.stores().budgets());
        tokio::select! {
            outcome = Dispatcher::new(Arc::clone(&operator), permit).run(stop) => outcome,
            ended = keeper::keep(&operator) => ended,
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        ended = &mut election.task => end_of("the election", ended),
        ended = &mut admin.task => end_of("the admin server", ended),
        ended = first_of(&mut reflectors) => end_of("a reflector", ended),
    };
    // No effect is under way any more, so a successor may act at once.
    election.end().await;
    admin.end().await;
    outcome
}

/// Begins to watch what these settings ask for.
fn observe(client: &Client, settings: &Settings, sealer: &Arc<Sealer>) -> (Observer, JoinSet<()>) {
    let secrets = settings.secrets.then(|| secret_digest(sealer));
    let verify = {
        let sealer = Arc::clone(sealer);
        move |state: &_| sealer.verify(state)
    };
    let also = [
        (Kind::Namespace, true),
        (Kind::Node, settings.nodes),
        (Kind::CronJob, settings.neighbours),
        (Kind::HttpRoute, settings.gateway_api),
        (Kind::GrpcRoute, settings.gateway_api),
    ];
    let outside = Kind::OUTSIDE.map(|kind| (kind, settings.cluster_members));
    let also = also.into_iter().chain(outside);
    let also: Vec<Kind> = also.filter_map(|(kind, asked)| asked.then_some(kind)).collect();
    Observer::start(client, &settings.watch_namespaces, verify, secrets, &also)
}

fn secret_digest(sealer: &Arc<Sealer>) -> Box<SecretDigest> {
    let sealer = Arc::clone(sealer);
    Box::new(move |namespace, name, content| sealer.secret_digest(namespace, name, content))
}

/// A task that runs beside the work, and ends when it is told to.
struct Beside {
    task: JoinHandle<anyhow::Result<()>>,
    over: oneshot::Sender<()>,
}

impl Beside {
    fn start<F>(run: impl FnOnce(Over) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (over, told) = oneshot::channel();
        Self { task: tokio::spawn(run(Box::pin(async move { drop(told.await) }))), over }
    }

    async fn end(self) {
        drop(self.over);
        if !self.task.is_finished() && timeout(FAREWELL, self.task).await.is_err() {
            tracing::warn!("something did not end in time");
        }
    }
}

type Over = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn first_of(tasks: &mut JoinSet<()>) -> Result<anyhow::Result<()>, tokio::task::JoinError> {
    match tasks.join_next().await {
        Some(ended) => ended.map(Ok),
        None => std::future::pending().await,
    }
}

/// None of them ends by itself while all is well.
fn end_of(what: &str, ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended.with_context(|| format!("{what} panicked"))?.with_context(|| format!("{what} failed"))?;
    bail!("{what} ended; the process ends with it and is to be started again")
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop: nothing new is begun");
    })
}
