//! What goes wrong in the demo, and how it comes back: a bad release, one bad pod, and a failover with its way home.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, RecoveryPolicy};
use homeostat::clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};

use crate::Demo;
use crate::picture::{Look, Rows, phases, tell, timeline};
use crate::story::app::{STANDBY, WEB};
use crate::story::shop::Counts;

/// Enough for an incident from its cause to its end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// All of them, one after the other; gives the last line of the demo.
pub async fn all(demo: &mut Demo) -> Result<String> {
    demo.earn().await?;
    let first = demo.roll_back().await?;
    demo.quarantine().await?;
    demo.fail_over().await?;
    demo.stages.end();
    demo.stages.table();
    Ok(first)
}

/// What was so before a cause was set.
struct Before {
    at: Timestamp,
    counts: Option<Counts>,
    recoveries: usize,
}

impl Demo {
    /// The release changes the program and the configuration; both come back, the configuration first.
    async fn roll_back(&mut self) -> Result<String> {
        self.stages.begin("A bad release", self.application.bad_release());
        let before = self.before().await?;
        self.application.release_badly(&self.story).await?;
        let mut rows = before.table();
        let recovery = self.follow(&mut rows, &before, 0, Phase::Closed).await?;
        let journal = recovery.journal();
        ensure!(journal.outcome == Some(Outcome::Recovered), "{:?}: {}", journal.outcome, journal.message);
        self.application.is_back(&self.story).await?;
        let took = timeline(journal, before.at)?;
        self.application.tell_counts(&self.story, before.counts).await?;
        self.show(&["get", "rp"]).await?;
        self.show(&["get", "rec"]).await?;
        let since_start = self.stages.since_start();
        println!();
        tell(&format!("The first recovery was seen {since_start:.0} s after the demo began."));
        Ok(format!("recovered: verified {took} after the bad release ({})", self.application.nodes()))
    }

    /// One pod of four fails for a reason of its own.
    async fn quarantine(&mut self) -> Result<()> {
        self.stages.begin("One pod of four goes bad by itself", "Nothing was released: a rollback would be wrong.");
        let pod = self.story.pods(WEB).await?.into_iter().next().context("no pod")?;
        let before = self.before().await?;
        self.application.fail(&self.story, &[pod], true).await?;
        let mut rows = before.table();
        let recovery = self.follow(&mut rows, &before, 0, Phase::Closed).await?;
        let journal = recovery.journal();
        ensure!(journal.decision.reason == Reason::PodIsolated, "{:?}", journal.decision);
        ensure!(journal.outcome == Some(Outcome::Recovered), "{}", journal.message);
        timeline(journal, before.at)?;
        self.application.tell_counts(&self.story, before.counts).await?;
        let of_web = "app notin (web-standby,client,api,store)";
        self.show(&["get", "pods", "-l", of_web, "-L", "app,homeostat.dev/quarantined-by"]).await
    }

    /// Every pod is unready for a reason that is not here; the standby serves until that is over.
    async fn fail_over(&mut self) -> Result<()> {
        self.stages.begin("All pods go unready, and nothing changed here", "The standby has to take over.");
        let pods: Vec<Pod> = self.story.pods(WEB).await?;
        let before = self.before().await?;
        self.application.fail(&self.story, &pods, true).await?;
        let mut rows = before.table();
        let away = self.follow(&mut rows, &before, 0, Phase::OnStandby).await?;
        self.selects(STANDBY).await?;
        self.application.tell_counts(&self.story, before.counts).await?;
        self.show(&["get", "service", WEB, "-o", "wide"]).await?;

        self.stages.begin("The cause ends", "Traffic goes home once home is verified.");
        let told = phases(away.journal()).len();
        let ended = Before { recoveries: before.recoveries, ..self.before().await? };
        self.application.fail(&self.story, &pods, false).await?;
        let mut rows = ended.table();
        let recovery = self.follow(&mut rows, &ended, told, Phase::Closed).await?;
        let journal = recovery.journal();
        ensure!(journal.outcome == Some(Outcome::Recovered), "{}", journal.message);
        self.selects(WEB).await?;
        self.application.tell_counts(&self.story, ended.counts).await?;
        self.show(&["get", "service", WEB, "-o", "wide"]).await?;
        self.show(&["get", "rec"]).await
    }

    async fn before(&self) -> Result<Before> {
        let recoveries = self.story.recoveries().await?.len();
        Ok(Before { counts: self.application.counts(&self.story).await?, recoveries, at: clock::now() })
    }

    async fn selects(&self, app: &str) -> Result<()> {
        let service = self.story.api::<Service>().get(WEB).await?;
        let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
        ensure!(selector.get("app").is_some_and(|label| label == app), "the Service selects {selector:?}");
        Ok(())
    }

    /// Shows the Recovery that is newer than `before` as it goes on, until it is in this phase; `told` phases of it were
    /// shown before. There is a row for each phase, for each change of the distance, and while nothing happens.
    async fn follow(&self, rows: &mut Rows, before: &Before, mut told: usize, until: Phase) -> Result<Recovery> {
        let mut outlook = String::new();
        eventually("the incident to go on", PATIENCE, async || {
            let all = self.story.recoveries().await?;
            let newest = all.get(before.recoveries..).and_then(<[_]>::last);
            let reached = newest.map(|recovery| phases(recovery.journal())).unwrap_or_default();
            let drift = self.drift().await?;
            let new = reached.len() > told;
            if new || rows.moved(&drift) || rows.is_due() {
                let look = Look { drift, counts: self.application.counts(&self.story).await? };
                for (phase, _, text) in reached.iter().skip(told) {
                    rows.row(&look, &format!("{phase}: {text}"));
                }
                if !new {
                    let next = doing(newest.map(Recovery::journal));
                    let text = if next == outlook { "" } else { &next };
                    rows.row(&look, text);
                    outlook.clone_from(&next);
                }
            }
            told = told.max(reached.len());
            let recovery = newest.context("Homeostat has not seen it yet")?;
            let journal = recovery.journal();
            ensure!(journal.phase == until, "{:?}: {}", journal.phase, journal.message);
            Ok(recovery.clone())
        })
        .await
    }

    /// How far from its stable state the policy says that its target is.
    async fn drift(&self) -> Result<String> {
        let status = self.story.api::<RecoveryPolicy>().get(WEB).await?.status;
        Ok(status.and_then(|status| status.drift).map(|drift| drift.distance).unwrap_or_default())
    }
}

impl Before {
    fn table(&self) -> Rows {
        Rows::begin(self.at, self.counts)
    }
}

/// What is waited for.
fn doing(journal: Option<&Journal>) -> String {
    match journal {
        None => "waiting for Homeostat to see it".to_owned(),
        Some(journal) if journal.message == journal.decision.message => format!("now {:?}", journal.phase),
        Some(journal) => format!("now {:?}: {}", journal.phase, journal.message),
    }
}
