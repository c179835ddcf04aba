//! The result: one row for each file, and the line that counts.

use std::fmt;

use anyhow::Error;
use homeostat::api::{Journal, Recovery};
use jiff::Timestamp;
use serde::Serialize;

use crate::baseline::Baseline;
use crate::file::{Ideal, Incident};
use crate::oracle;
use crate::story::Write;

/// What came of one file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub incident: String,
    pub title: String,
    pub expected: &'static str,
    pub got: &'static str,
    /// Seconds from the injection.
    pub contained: Option<f64>,
    pub verified: Option<f64>,
    /// What the client counted, where there is one.
    pub bad_answers: Option<u64>,
    pub writes: usize,
    /// Writes that the file does not allow.
    pub harmful: Vec<String>,
    pub verdict: &'static str,
    /// Played by marked pods.
    pub scripted: bool,
    /// The ability that is missing, for a file that may fail.
    pub missing: Option<String>,
    /// What was not so in the end.
    pub why: Option<String>,
    /// What the operator decided in each incident, and why.
    pub decided: Vec<String>,
}

impl Row {
    /// The file ran to its end.
    pub fn judged(
        incident: &Incident,
        baseline: Baseline,
        injected: Timestamp,
        recoveries: &[Recovery],
        writes: &[Write],
        last: Option<Error>,
    ) -> Self {
        let got = oracle::outcome(recoveries, writes);
        let harmful = oracle::harmful(&incident.expect, writes);
        let same = got == incident.ideal || baseline != Baseline::Homeostat;
        let verdict = match (&last, harmful.is_empty()) {
            (_, false) => "HARMFUL",
            (None, true) if same => "right",
            _ => "wrong",
        };
        let journal = recoveries.last().map(Recovery::journal);
        let after = |at: Option<Timestamp>| at.map(|at| at.duration_since(injected).as_secs_f64());
        Self {
            got: if baseline == Baseline::Homeostat { got.as_str() } else { "-" },
            contained: after(journal.and_then(|j| j.timeline.contained.as_ref().map(|at| at.0))),
            verified: after(journal.and_then(|j| j.timeline.verified.as_ref().map(|at| at.0))),
            writes: writes.len(),
            harmful,
            verdict,
            why: last.map(|error| format!("{error:#}")),
            decided: recoveries.iter().map(decided).collect(),
            ..Self::empty(incident)
        }
    }

    /// What was not right with it, and what was decided, for people.
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.why.clone().unwrap_or_else(|| format!("not allowed: {}", self.harmful.join(", ")));
        writeln!(f, "{} ({})", self.incident, self.verdict)?;
        for line in [&why].into_iter().chain(&self.decided) {
            writeln!(f, "    {}", line.chars().take(300).collect::<String>())?;
        }
        self.missing.iter().try_for_each(|missing| writeln!(f, "    not there yet: {missing}"))
    }

    /// The rig failed, not the operator.
    pub fn broken(incident: &Incident, why: &str) -> Self {
        Self { verdict: "BROKEN", why: Some(why.to_owned()), ..Self::empty(incident) }
    }

    /// It needs what is not here.
    pub fn skipped(incident: &Incident, why: &str) -> Self {
        Self { verdict: "skipped", why: Some(why.to_owned()), ..Self::empty(incident) }
    }

    fn empty(incident: &Incident) -> Self {
        Self {
            incident: incident.name.clone(),
            title: incident.title.clone(),
            expected: incident.ideal.as_str(),
            got: "-",
            contained: None,
            verified: None,
            bad_answers: None,
            writes: 0,
            harmful: vec![],
            verdict: "",
            scripted: incident.scripted,
            missing: incident.missing.clone(),
            why: None,
            decided: vec![],
        }
    }
}

fn decided(recovery: &Recovery) -> String {
    let Journal { symptom, suspect, decision, .. } = recovery.journal();
    format!("{:?} suspected after {}: {:?}, {}", suspect, symptom.reason, decision.remedy, decision.message)
}

/// Width of the first column.
const NAME: usize = 33;

/// All rows.
#[derive(Debug, Serialize)]
pub struct Table {
    baseline: &'static str,
    rows: Vec<Row>,
    #[serde(skip)]
    by_homeostat: bool,
}

impl Table {
    pub fn new(baseline: Baseline, mut rows: Vec<Row>) -> Self {
        rows.sort_by(|a, b| (a.expected, &a.incident).cmp(&(b.expected, &b.incident)));
        Self { baseline: baseline.title(), rows, by_homeostat: baseline == Baseline::Homeostat }
    }

    /// Every file that must pass did, none was harmful or broken. A baseline is measured, not judged.
    pub fn good(&self) -> bool {
        let required = |row: &&Row| self.by_homeostat && row.missing.is_none();
        let must = |row: &&Row| required(row) && !matches!(row.verdict, "right" | "skipped");
        let never = |row: &&Row| matches!(row.verdict, "HARMFUL" | "BROKEN");
        !self.rows.iter().any(|row| must(&row) || never(&row))
    }

    fn count(&self, verdict: &str) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n", self.baseline)?;
        let heads = ["incident", "expected", "got", "cont.", "verif.", "bad", "wr."];
        let [incident, expected, got, contained, verified, bad, writes] = heads;
        writeln!(f, "{incident:<NAME$}{expected:<9}{got:<9}{contained:>6}{verified:>7}{bad:>5}{writes:>4} verdict")?;
        let seconds = |at: Option<f64>| at.map_or("-".to_owned(), |at| format!("{at:.1}"));
        for row in &self.rows {
            let mark = if row.scripted { "*" } else { "" };
            let mut name = format!("{}{mark}", row.incident);
            // A name that would run into the next column has a line of its own: 80 columns hold no wider one.
            if name.len() >= NAME {
                writeln!(f, "{name}")?;
                name.clear();
            }
            writeln!(
                f,
                "{name:<NAME$}{:<9}{:<9}{:>6}{:>7}{:>5}{:>4} {}",
                row.expected,
                row.got,
                seconds(row.contained),
                seconds(row.verified),
                row.bad_answers.map_or("-".to_owned(), |bad| bad.to_string()),
                row.writes,
                row.verdict
            )?;
        }
        let for_each = |ideal: Ideal| {
            let of = self.rows.iter().filter(|row| row.expected == ideal.as_str());
            (of.clone().filter(|row| row.verdict == "right").count(), of.count())
        };
        writeln!(f, "\ncont., verif.: seconds after the injection; bad: bad answers; wr.: writes to workloads")?;
        writeln!(f, "* scripted: the symptom is played by marked pods")?;
        // Beside the counts: of a long log the end is what is looked at.
        let not_right: Vec<&Row> = self.rows.iter().filter(|row| row.verdict != "right").collect();
        if !not_right.is_empty() {
            writeln!(f, "\nnot right")?;
        }
        not_right.into_iter().try_for_each(|row| row.tell(f))?;
        writeln!(f)?;
        for ideal in [Ideal::Rollback, Ideal::Isolate, Ideal::Failover, Ideal::Hold] {
            let (right, all) = for_each(ideal);
            writeln!(f, "{:<9} {right} of {all}", ideal.as_str())?;
        }
        let harmful = self.count("HARMFUL");
        let (right, skipped) = (self.count("right"), self.count("skipped"));
        writeln!(f, "right {right} of {}, harmful {harmful}, skipped {skipped}", self.rows.len() - skipped)
    }
}
