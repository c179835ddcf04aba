//! Reads incident files, and says of a file that cannot be used where it is wrong and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::file::{Class, Ideal, Incident, Nodes, Step};

/// One file in so many is in the sample.
const SAMPLE: usize = 5;
const FORMAT: &str = "the format is in tests/incidents/README.md";

/// Which files are meant.
pub struct Choice {
    pub folder: PathBuf,
    /// Only files with this in their name.
    pub only: Option<String>,
    /// Only the few that `cargo test` runs: the same ones every time, those that run alone left out.
    pub sample: bool,
}

impl Choice {
    /// Reads them.
    pub fn read(&self) -> Result<Vec<Incident>> {
        let mut incidents = read_folder(&self.folder)?;
        if let Some(only) = &self.only {
            incidents.retain(|incident| incident.name.contains(only));
            ensure!(!incidents.is_empty(), "no file of {} has ONLY={only} in its name", self.folder.display());
        }
        if self.sample {
            let mut number = 0;
            incidents.retain(|incident| {
                number += 1;
                number % SAMPLE == 0 && !incident.touches_the_cluster()
            });
        }
        Ok(incidents)
    }
}

/// Reads every `.yaml` file of a folder.
fn read_folder(folder: &Path) -> Result<Vec<Incident>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    ensure!(!paths.is_empty(), "{} has no .yaml file", folder.display());
    let classes = classes()?;
    let read: Vec<Result<Incident>> = paths.iter().map(|path| read(path, &classes)).collect();
    let errors: Vec<String> = read.iter().filter_map(|read| read.as_ref().err()).map(|e| format!("{e:#}")).collect();
    ensure!(errors.is_empty(), "{} of {} files cannot be used:\n{}", errors.len(), read.len(), errors.join("\n"));
    read.into_iter().collect()
}

/// Reads one file. Errors name the file and the line.
pub fn read(path: &Path, classes: &[Class]) -> Result<Incident> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let parsed: Result<Incident, Fault> = serde_saphyr::from_str(&text).map_err(|error| Fault::of(&error));
    let checked = parsed.and_then(|incident| match check(&incident, classes) {
        None => Ok(incident),
        Some((key, what)) => Err(Fault { line: line_of(&text, key), what }),
    });
    match checked {
        Ok(incident) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Incident { name, ..incident })
        }
        Err(fault) => bail!("{}{fault}", path.display()),
    }
}

/// What is wrong with a file.
struct Fault {
    line: Option<u64>,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, ":{line}: {}", self.what),
            None => write!(f, ": {}", self.what),
        }
    }
}

impl Fault {
    /// A text that is no incident, in one line.
    fn of(error: &serde_saphyr::Error) -> Self {
        let text = error.without_snippet().to_string();
        let what = text.split(" at line ").next().unwrap_or(&text).trim();
        let advice = if what.starts_with("unknown") {
            "use one of these, or take it out".to_owned()
        } else if let Some(field) = what.strip_prefix("missing field ") {
            format!("add {field}")
        } else if let Some("i32" | "u32" | "u64" | "usize") = what.strip_prefix("invalid ") {
            "write a whole number".to_owned()
        } else if what.starts_with("invalid") {
            "write a value of this type".to_owned()
        } else {
            "look for a value of the wrong shape, or a bracket or an indentation that is wrong".to_owned()
        };
        let line = error.location().map(|location| location.line());
        Self { line, what: format!("{what}: {advice}; {FORMAT}") }
    }
}

/// The line of a key.
fn line_of(text: &str, key: &str) -> Option<u64> {
    let is_of = |line: &str| line.trim_start_matches([' ', '-']).strip_prefix(key).is_some_and(|l| l.starts_with(':'));
    text.lines().zip(1..).find(|(line, _)| is_of(line)).map(|(_, number)| number)
}

/// What a whole file says that cannot be: the key that says it, and what to do.
fn check(incident: &Incident, classes: &[Class]) -> Option<(&'static str, String)> {
    if let Some(id) = &incident.class
        && let Some(fault) = check_class(id, incident.ideal, classes)
    {
        return Some(fault);
    }
    let has = |wanted: fn(&Step) -> bool| incident.given.iter().any(wanted);
    let fault = |key, what: &str| Some((key, what.to_owned()));
    if incident.nodes == Nodes::Fake && incident.has_client() {
        return fault("shop", "`shop` needs real nodes: add `nodes: real`, or use `web`");
    }
    if incident.nodes == Nodes::Real && has(|step| matches!(step, Step::Web(_))) {
        return fault("web", "`web` is an image of fake nodes: use `shop`, or take `nodes: real` out");
    }
    if incident.nodes == Nodes::Real && has(|step| matches!(step, Step::Standby(_))) {
        return fault("standby", "`standby` is an image of fake nodes: use `shop: {standby: 2}`");
    }
    if incident.asks_the_client() && !incident.has_client() {
        return fault("answers", "`answers` asks the client of a shop, and there is none: add `shop` to `given`");
    }
    if incident.measured && !incident.has_client() {
        return fault("measured", "only the client of a shop is measured: add `shop` to `given`");
    }
    if has_step(incident, |step| matches!(step, Step::SilenceProvider)) && !incident.measured {
        return fault("inject", "there is no metrics provider to be silent: add `measured: true`");
    }
    if incident.expect.finally.is_empty() {
        return fault("finally", "nothing would be checked: add what is so in the end to `finally`");
    }
    if incident.ideal == Ideal::Hold && !incident.expect.allowed.is_empty() {
        return fault("allowed", "where the ideal is hold any write would be harmful: take `allowed` out");
    }
    None
}

fn has_step(incident: &Incident, wanted: fn(&Step) -> bool) -> bool {
    incident.given.iter().chain(&incident.inject).any(wanted)
}

fn check_class(id: &str, ideal: Ideal, classes: &[Class]) -> Option<(&'static str, String)> {
    let Some(class) = classes.iter().find(|class| class.id == id) else {
        let alike = |class: &&Class| class.id.bytes().zip(id.bytes()).take_while(|(a, b)| a == b).count();
        let near = classes.iter().max_by_key(alike).map(|class| format!("`{}`", class.id)).unwrap_or_default();
        let what =
            format!("class `{id}` is not in tests/incidents/classes.json; is {near} meant? Or leave `class` out");
        return Some(("class", what));
    };
    if class.ideal != ideal {
        let (right, given) = (class.ideal.as_str(), ideal.as_str());
        let what =
            format!("the ideal of class `{id}` is {right}, not {given}: write `ideal: {right}`, or leave `class` out");
        return Some(("ideal", what));
    }
    let what = format!("class `{id}` cannot be made here (repro C in tests/incidents/classes.json): leave `class` out");
    (class.repro == "C").then_some(("class", what))
}

/// Every class of real incidents that the suite measures itself by.
pub fn classes() -> Result<Vec<Class>> {
    Ok(serde_json::from_str(include_str!("../classes.json"))?)
}
