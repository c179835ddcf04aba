//! What the demo shows, within 80 columns: stages with their times, what it waits for, a recovery as it goes on.

use std::io::Write as _;

use anyhow::{Context, Result};
use cluster::Cluster;
use homeostat::api::Journal;
use homeostat::api::recovery::Timeline;
use homeostat::clock;
use jiff::Timestamp;

use crate::story::shop::Counts;

const WIDTH: usize = 80;
const INDENT: usize = 3;
/// How wide a bar is at most.
const BAR: usize = 10;
const LONG_BAR: usize = 40;
/// Seconds after which there is a row although nothing happened.
const QUIET: f64 = 2.0;

struct Stage {
    what: String,
    began: Timestamp,
    /// Seconds, once it has ended.
    took: Option<f64>,
}

/// The stages of the demo, and how long each took.
pub struct Stages {
    began: Timestamp,
    stages: Vec<Stage>,
}

impl Stages {
    pub fn new() -> Self {
        Self { began: clock::now(), stages: vec![] }
    }

    /// Ends the stage before, and begins the next; `what` is one line that names it, `more` says what it is.
    pub fn begin(&mut self, what: &str, more: &str) {
        self.end();
        self.stages.push(Stage { what: what.to_owned(), began: clock::now(), took: None });
        println!("\n== {}. {what}", self.stages.len());
        tell(more);
    }

    /// Ends the stage that is going on, and says how long it took.
    pub fn end(&mut self) {
        if let Some(stage) = self.stages.last_mut().filter(|stage| stage.took.is_none()) {
            let took = seconds_since(stage.began);
            stage.took = Some(took);
            println!("   took {took:.1} s");
        }
    }

    pub fn since_start(&self) -> f64 {
        seconds_since(self.began)
    }

    /// All of them, with their seconds.
    pub fn table(&self) {
        println!("\n== How long it took\n");
        for (number, Stage { what, took, .. }) in self.stages.iter().enumerate() {
            println!("   {:>5.1} s  {}. {what}", took.unwrap_or(0.0), number + 1);
        }
        println!("   {:>5.1} s  in all", self.since_start());
    }
}

/// Says something, wrapped.
pub fn tell(text: &str) {
    wrapped(&" ".repeat(INDENT), text);
}

/// Says what comes next depends on.
pub fn wait(what: &str) {
    tell(&format!("waiting for {what} …"));
    // Nothing is lost if this fails but the order of lines.
    let _ = std::io::stdout().flush();
}

/// Text behind `head`, at the width of a terminal; further lines begin where the first did.
fn wrapped(head: &str, text: &str) {
    let indent = head.chars().count();
    let mut line = head.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            println!("{}", line.trim_end());
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    println!("{}", line.trim_end());
}

/// What there is to see of a recovery at one moment.
#[derive(Clone, Default)]
pub struct Look {
    pub drift: String,
    /// Everything that the client counted, if there is one.
    pub counts: Option<Counts>,
}

/// A recovery, row by row: when, how far from the stable state, what the client got since the row before, what happened.
pub struct Rows {
    since: Timestamp,
    before: Option<Counts>,
    drift: String,
    last: Timestamp,
}

impl Rows {
    /// Begins the table; `before` is what the client had counted by then.
    pub fn begin(since: Timestamp, before: Option<Counts>) -> Self {
        let client = before.map(|_| format!("{:>5} {:>5}", "good", "bad")).unwrap_or_default();
        println!("\n   {:>6}   {:<15} {client:<11}  what happens", "time", "drift");
        Self { since, before, drift: String::new(), last: clock::now() }
    }

    /// Whether it is time for a row although nothing happened.
    pub fn is_due(&self) -> bool {
        seconds_since(self.last) > QUIET
    }

    /// Whether the distance is another than in the row before.
    pub fn moved(&self, drift: &str) -> bool {
        self.drift != drift
    }

    /// One row, for what was just seen.
    pub fn row(&mut self, look: &Look, text: &str) {
        let seconds = seconds_since(self.since);
        let counted = look.counts.zip(self.before).map(|(now, before)| now.since(&before));
        let client = counted.map(|counts| format!("{:>5} {:>5}", counts.good, counts.bad)).unwrap_or_default();
        let bar = bar(look.drift.parse().unwrap_or(0.0), BAR);
        wrapped(&format!("   {seconds:>6.2}s  {:<4} {bar:<BAR$} {client:<11}  ", look.drift), text);
        self.before = look.counts.or(self.before);
        self.drift.clone_from(&look.drift);
        self.last = clock::now();
        // Nothing is lost if this fails but the order of lines.
        let _ = std::io::stdout().flush();
    }
}

fn seconds_since(then: Timestamp) -> f64 {
    clock::now().duration_since(then).as_secs_f64()
}

fn bar(share: f64, width: usize) -> String {
    "#".repeat((0..width).filter(|cell| share * width as f64 > *cell as f64 + 0.25).count())
}

/// The phases that a Recovery has been through: name, time and what was known then.
pub fn phases(journal: &Journal) -> Vec<(&'static str, Timestamp, String)> {
    let Timeline { detected, decided, contained, acted, converged, verified, .. } = &journal.timeline;
    let done = journal.steps.iter().filter(|step| step.acknowledged.is_some()).count();
    let decision = &journal.decision;
    let phases = [
        ("detected", detected, journal.symptom.message.clone()),
        ("decided", decided, format!("{:?} ({}): {}", decision.remedy, decision.reason, decision.message)),
        ("contained", contained, "the first effect is acknowledged".to_owned()),
        ("acted", acted, format!("{done} of {} steps are acknowledged", journal.steps.len())),
        ("converged", converged, "everything was seen to be back".to_owned()),
        ("verified", verified, journal.message.trim_start_matches("verified: ").to_owned()),
    ];
    let reached = phases.into_iter().map_while(|(phase, at, text)| Some((phase, at.as_ref()?.0, text)));
    reached.collect()
}

/// The phases and the seconds of each, the first counted from `since`, and the last line of the demo.
pub fn timeline(journal: &Journal, since: Timestamp) -> Result<String> {
    let phases = phases(journal);
    let (_, end, _) = phases.last().context("nothing was detected")?;
    let all = end.duration_since(since).as_secs_f64();
    println!("\n   phase           at     took");
    let mut before = since;
    for (phase, at, _) in &phases {
        let at_seconds = at.duration_since(since).as_secs_f64();
        let took = at.duration_since(before).as_secs_f64();
        let bar = bar(took / all, LONG_BAR);
        println!("{}", format!("   {phase:<10} {at_seconds:>5.2} s {took:>6.2} s  {bar}").trim_end());
        before = *at;
    }
    Ok(format!("{all:.1} s"))
}

/// What kubectl says, with narrower gaps between columns.
pub async fn show(cluster: &Cluster, arguments: &[&str]) -> Result<()> {
    let text = cluster.kubectl(arguments).await?;
    let quoted = |word: &&str| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() };
    println!("\n$ kubectl {}", arguments.iter().map(quoted).collect::<Vec<_>>().join(" "));
    let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let is_gap = |column: usize| lines.iter().all(|line| line.get(column).is_none_or(|cell| *cell == ' '));
    let kept = |column: &usize| *column < 2 || !(is_gap(*column) && is_gap(column - 1) && is_gap(column - 2));
    for line in &lines {
        let narrow: String = (0..line.len()).filter(kept).map(|column| line[column]).collect();
        println!("{}", narrow.trim_end());
    }
    Ok(())
}
