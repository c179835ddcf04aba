//! What came of an incident: judged by the API server, the audit log and the journal, in this order of weight.

use std::time::Duration;

use anyhow::{Result, ensure};
use homeostat::api::recovery::Remedy;
use homeostat::api::{Journal, Outcome, Phase, Recovery, Remediation, Step, StepState};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;

use crate::file::{Answers, Content, Expect, Ideal, Incident, Offered, Oracle};
use crate::steps::{dynamic, serving, with_names};
use crate::story::{Story, Write, shop};

/// So many bad ones among the last twenty are no accident.
const BAD: u64 = 3;

/// A bad answer from before this is past, however few came since. Longer than any answer takes.
const PAST: Duration = Duration::from_secs(5);

/// An error unless everything is so.
pub async fn hold(story: &Story, oracles: &[Oracle]) -> Result<()> {
    for oracle in oracles {
        match oracle {
            Oracle::Serving(ready) => serving(story, ready).await?,
            Oracle::Object(content) => has(story, content).await?,
            Oracle::Absent(target) => {
                let name = with_names(story, &target.name)?;
                let found = dynamic(story, &target.api_version, &target.kind).await?.get_opt(&name).await?;
                ensure!(found.is_none(), "{} {} exists", target.kind, target.name);
            }
            Oracle::Offered(offered) => offers(story, offered).await?,
            Oracle::Written(written) => {
                let writes = story.workload_writes().await?;
                let times = writes.iter().filter(|write| write.to_string() == written.write).count();
                // Without an operator nothing is written, which is not what this asks.
                ensure!(times == written.times || story.started() == 0, "{}: {times} times", written.write);
            }
            Oracle::Answers(wanted) => answered(story, *wanted).await?,
        }
    }
    Ok(())
}

async fn answered(story: &Story, wanted: Answers) -> Result<()> {
    let counts = shop::counts(story).await?;
    let bad = counts.recently;
    let so = match wanted {
        Answers::Good => bad == 0 || counts.last_bad.is_some_and(|ago| ago > PAST),
        Answers::Bad => bad >= BAD,
    };
    let ago = counts.last_bad.map(|ago| format!(", the last of them {} ms ago", ago.as_millis())).unwrap_or_default();
    ensure!(so, "{bad} of the client's last answers are bad{ago}");
    Ok(())
}

async fn has(story: &Story, content: &Content) -> Result<()> {
    let name = with_names(story, &content.name)?;
    let object = dynamic(story, &content.api_version, &content.kind).await?.get(&name).await?;
    let object = serde_json::to_value(object)?;
    let found = object.pointer(&content.at);
    let same = found.unwrap_or(&Value::Null) == content.is.as_ref().unwrap_or(&Value::Null);
    ensure!(same, "{} {}: {} is {}", content.kind, content.name, content.at, found.unwrap_or(&Value::Null));
    Ok(())
}

async fn offers(story: &Story, offered: &Offered) -> Result<()> {
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={}", offered.service));
    let slices = story.api::<EndpointSlice>().list(&of_service).await?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
    let ready =
        endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(false)).count();
    ensure!(ready == offered.pods, "Service {} offers {ready} pods", offered.service);
    Ok(())
}

/// The outcome that the journals and the audit log show.
pub fn outcome(recoveries: &[Recovery], writes: &[Write]) -> Ideal {
    let acted = recoveries.iter().map(Recovery::journal).rfind(|journal| acted(journal));
    match acted {
        // Who repairs and stops what would break it again has isolated that.
        Some(journal) if stopped(journal) => Ideal::Isolate,
        Some(journal) => Ideal::of(journal.decision.remedy),
        None if writes.is_empty() => Ideal::Hold,
        // Something was written that no journal explains.
        None => Ideal::Rollback,
    }
}

fn acted(journal: &Journal) -> bool {
    let proven = journal.phase == Phase::Closed && journal.outcome == Some(Outcome::Recovered);
    (proven || journal.phase == Phase::OnStandby) && journal.decision.remedy != Remedy::Hold && journal.attempt > 0
}

fn stopped(journal: &Journal) -> bool {
    let done = |step: &Step| step.remediation == Remediation::StopNeighbour && step.state == StepState::Done;
    journal.steps.iter().any(done)
}

/// What was so when the operator said that it had recovered, if it was not what it should be.
/// Claims that the file itself waits for before it goes on breaking things, the first `before`, were made in a world that
/// is not the one of the end.
pub async fn claim(story: &Story, incident: &Incident, before: usize) -> Result<Option<String>> {
    let recoveries = story.recoveries().await?;
    let claims = recoveries.iter().skip(before).next_back().is_some_and(|recovery| {
        let journal = recovery.journal();
        journal.phase == Phase::Closed && journal.outcome == Some(Outcome::Recovered)
    });
    let not_so = if claims { hold(story, &incident.expect.finally).await.err() } else { None };
    Ok(not_so.map(|why| format!("it said that it had recovered, but {why:#}")))
}

/// What keeps it from being closed, for who has to find out why.
fn still_open(recoveries: &[Recovery]) -> String {
    let Some(last) = recoveries.last() else { return "no Recovery was opened".into() };
    let journal = last.journal();
    format!("Recovery {} is {:?} ({}): {}", last.name_any(), journal.phase, journal.reason, journal.message)
}

/// Whether the operator has come to an end with it, so that nothing more is to be waited for.
pub async fn settled(story: &Story, incident: &Incident) -> Result<()> {
    let recoveries = story.recoveries().await?;
    let journal = recoveries.last().map(Recovery::journal);
    match incident.ideal {
        Ideal::Hold => {}
        // Away from home is where failover ends, as long as home is not healthy.
        Ideal::Failover => {
            let away = journal.is_some_and(|j| j.phase == Phase::OnStandby || j.phase == Phase::Closed);
            ensure!(away, "the traffic was not moved");
        }
        Ideal::Rollback | Ideal::Isolate => {
            ensure!(journal.is_some_and(|journal| journal.phase == Phase::Closed), "{}", still_open(&recoveries));
        }
    }
    if let Some(reason) = incident.expect.reason {
        let given = journal.map(|journal| journal.reason);
        ensure!(given == Some(reason), "the reason is {given:?}");
    }
    hold(story, &incident.expect.finally).await
}

/// Writes to workloads that the file does not allow.
pub fn harmful(expect: &Expect, writes: &[Write]) -> Vec<String> {
    let allowed = |line: &String| {
        expect.allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => line.starts_with(start),
            None => line == allowed,
        })
    };
    writes.iter().map(ToString::to_string).filter(|line| !allowed(line)).collect()
}
