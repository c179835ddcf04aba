//! The difference of two states, or of a state and what is live: per member, per place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use super::source::Source;
use super::text::{cut, fold, lines, plain, wrap};
use crate::api::StableState;
use crate::api::stable_state::{Group, Member};
use crate::plan::compare::{Place, places};
use crate::plan::member::MemberKind;
use crate::plan::{closure, content};

/// So many places of one member are shown.
const MOST_PLACES: usize = 50;
/// So many lines of one value.
const MOST_LINES: usize = 40;
/// So much stands before an old or a new value.
const MARKS: [&str; 2] = ["  - ", "  + "];

/// What differs.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    from: String,
    to: String,
    members: Vec<Changed>,
    /// How many members are the same.
    same: usize,
    notes: Vec<String>,
}

/// A member that differs.
#[derive(Debug, Serialize)]
struct Changed {
    kind: MemberKind,
    name: String,
    change: Change,
    /// Empty for a Secret, and for one that is on one side only.
    places: Vec<Place>,
    /// How many more places differ.
    omitted: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Change {
    Changed,
    Added,
    Removed,
}

/// What differs between two states.
pub(super) async fn of_states(source: &Source, from: &str, to: &str) -> anyhow::Result<Difference> {
    let (old, new) = (source.state(from).await?, source.state(to).await?);
    let mut notes = source.notes.clone();
    notes.extend(doubts(source, &old).chain(doubts(source, &new)));
    let covers = |state: &StableState| state.spec.record.groups.iter().copied().collect::<BTreeSet<Group>>();
    let one_only: Vec<String> =
        covers(&old).symmetric_difference(&covers(&new)).map(|group| format!("{group:?}")).collect();
    if !one_only.is_empty() {
        notes.push(format!("only one of the two covers {}", one_only.join(", ")));
    }
    let members = |state: &StableState| -> BTreeMap<(MemberKind, String), Member> {
        let members = state.spec.record.members.iter().filter(|member| !member.absent);
        members
            .filter_map(|member| Some(((MemberKind::of(&member.kind)?, member.name.clone()), member.clone())))
            .collect()
    };
    let (before, after) = (members(&old), members(&new));
    let all: BTreeSet<&(MemberKind, String)> = before.keys().chain(after.keys()).collect();
    let (mut changed, mut same) = (vec![], 0);
    for key in all {
        let (old, new) = (before.get(key), after.get(key));
        if old.map(|member| &member.digest) == new.map(|member| &member.digest) {
            same += 1;
            continue;
        }
        let (old, new) = (recorded(source, key.0, old).await?, recorded(source, key.0, new).await?);
        changed.push(Changed::of(key.0, &key.1, old, new));
    }
    Ok(Difference { from: title(&old), to: title(&new), members: changed, same, notes })
}

/// What differs between a state and what is live, as its policy looks at it.
pub(super) async fn from_live(source: &Source, name: &str) -> anyhow::Result<Difference> {
    let old = source.state(name).await?;
    let record = &old.spec.record;
    let look = source.look().await?;
    let facts = look.facts(&source.namespace, &record.policy).with_context(|| {
        let (policy, namespace) = (&record.policy, &source.namespace);
        format!(
            "RecoveryPolicy {policy:?} of StableState {name} does not exist in namespace {namespace}, and says what of the \
             live objects counts; apply it again, or compare with another state"
        )
    })?;
    let state = facts.states.iter().find(|state| state.name == name);
    let state = state.with_context(|| format!("StableState {name} was recorded or deleted this moment; ask again"))?;
    let mut notes = source.notes.clone();
    notes.extend(look.notes.iter().cloned().chain(doubts(source, &old)));
    let compared = closure::groups(&facts);
    let left_out: Vec<String> =
        compared.symmetric_difference(&state.groups).map(|group| format!("{group:?}")).collect();
    if !left_out.is_empty() {
        notes.push(format!("not compared, because the policy or the state leaves them out: {}", left_out.join(", ")));
    }
    let mut changed = vec![];
    for difference in closure::differences(&facts, state) {
        let (kind, name) = (difference.kind, difference.name);
        let member = record.members.iter().find(|member| member.kind == kind.name() && member.name == name);
        let old = recorded(source, kind, member.filter(|member| !member.absent)).await?;
        let new = match difference.live.is_empty() {
            true => Side::Nothing,
            false => Side::of(kind, source.object(kind, name).await?),
        };
        changed.push(Changed::of(kind, name, old, new));
    }
    let same =
        record.members.len().saturating_sub(changed.iter().filter(|member| member.change != Change::Added).count());
    let to = format!("live {} {}", record.target.kind, record.target.name);
    Ok(Difference { from: title(&old), to, members: changed, same, notes })
}

fn title(state: &StableState) -> String {
    let target = &state.spec.record.target;
    format!("StableState {} of {} {}", state.name_any(), target.kind, target.name)
}

fn doubts(source: &Source, state: &StableState) -> impl Iterator<Item = String> {
    let genuine = source.genuine(state);
    let name = state.name_any();
    (!genuine).then(|| format!("StableState {name} does not carry our seal; what it says may be forged")).into_iter()
}

/// A member on one side.
enum Side {
    Nothing,
    Content(Value),
    /// It is there, and what it holds cannot be shown, for this reason.
    Hidden(String),
}

impl Side {
    /// A live object.
    fn of(kind: MemberKind, object: Option<Value>) -> Self {
        match object {
            _ if kind == MemberKind::Secret => Self::Hidden(String::new()),
            Some(object) => Self::Content(content::of(kind, &object)),
            None => Self::Hidden("it was deleted this moment, or is not among the recorded objects".to_owned()),
        }
    }
}

/// What a state recorded, from the state itself or from its copy.
async fn recorded(source: &Source, kind: MemberKind, member: Option<&Member>) -> anyhow::Result<Side> {
    let Some(member) = member else { return Ok(Side::Nothing) };
    if kind == MemberKind::Secret {
        return Ok(Side::Hidden(String::new()));
    }
    let found = match member.copy.is_empty() {
        true => serde_json::from_str(&member.content).ok(),
        false => source.object(kind, &member.copy).await?.map(|copy| content::of(kind, &copy)),
    };
    let intact = found.filter(|found| content::digest(&content::canonical(found)) == member.digest);
    let gone = || match member.copy.is_empty() {
        true => "the state does not hold what its digest says".to_owned(),
        false => format!("its copy, {kind} {}, is missing or changed", member.copy),
    };
    Ok(intact.map_or_else(|| Side::Hidden(gone()), Side::Content))
}

impl Changed {
    fn of(kind: MemberKind, name: &str, old: Side, new: Side) -> Self {
        let change = match (&old, &new) {
            (Side::Nothing, _) => Change::Added,
            (_, Side::Nothing) => Change::Removed,
            _ => Change::Changed,
        };
        let (mut found, note) = match (old, new) {
            _ if kind == MemberKind::Secret => (vec![], "what a Secret holds is never shown".to_owned()),
            (Side::Content(old), Side::Content(new)) => (places(&old, &new), String::new()),
            (Side::Hidden(why), _) | (_, Side::Hidden(why)) => (vec![], why),
            _ => (vec![], String::new()),
        };
        let omitted = found.len().saturating_sub(MOST_PLACES);
        found.truncate(MOST_PLACES);
        Self { kind, name: name.to_owned(), change, places: found, omitted, note }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&fold("--- ", &plain(&self.from)))?;
        f.write_str(&fold("+++ ", &plain(&self.to)))?;
        for member in &self.members {
            writeln!(f)?;
            member.fmt(f)?;
        }
        writeln!(f)?;
        match self.members.len() {
            0 => writeln!(f, "nothing differs; members: {}", self.same)?,
            differing => writeln!(f, "members that differ: {differing}; that are the same: {}", self.same)?,
        }
        self.notes.iter().try_for_each(|note| f.write_str(&wrap("note: ", &plain(note))))
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.change {
            Change::Changed => "differs",
            Change::Added => "is only in the second",
            Change::Removed => "is only in the first",
        };
        f.write_str(&fold("", &format!("{} {} {what}", self.kind, plain(&self.name))))?;
        for place in &self.places {
            f.write_str(&fold("  ", &plain(&place.path)))?;
            f.write_str(&values(place))?;
        }
        if self.omitted > 0 {
            writeln!(f, "  … and {} more places", self.omitted)?;
        }
        if self.note.is_empty() { Ok(()) } else { f.write_str(&wrap("  ", &format!("({})", plain(&self.note)))) }
    }
}

/// The old and the new value; of texts of several lines only those lines that differ.
fn values(place: &Place) -> String {
    if let (Some(Value::String(from)), Some(Value::String(to))) = (&place.from, &place.to)
        && (from.contains('\n') || to.contains('\n'))
    {
        let found = lines(from, to);
        if found.iter().any(|(mark, _)| *mark != ' ') {
            let shown = found.iter().take(MOST_LINES);
            let mut text: String = shown.map(|(mark, line)| fold(&format!("  {mark} "), &cut(&plain(line)))).collect();
            if found.len() > MOST_LINES {
                text.push_str(&format!("    … and {} more lines\n", found.len() - MOST_LINES));
            }
            return text;
        }
    }
    let sides = MARKS.into_iter().zip([&place.from, &place.to]);
    sides.filter_map(|(mark, value)| Some(fold(mark, &cut(&plain(&value.as_ref()?.to_string()))))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(members: Vec<Changed>) -> String {
        let (from, to) = ("StableState web-1 of Deployment web".into(), "live Deployment web".into());
        Difference { from, to, members, same: 3, notes: vec![] }.to_string()
    }

    fn config_map(from: Value, to: Value) -> Changed {
        Changed::of(MemberKind::ConfigMap, "settings", Side::Content(from), Side::Content(to))
    }

    #[test]
    fn each_place_has_its_old_and_its_new_value() {
        let text = shown(vec![config_map(
            json!({"data": {"TIMEOUT": "5s", "OLD": "1"}}),
            json!({"data": {"TIMEOUT": "50ms"}}),
        )]);
        let expected = "--- StableState web-1 of Deployment web\n\
            +++ live Deployment web\n\n\
            ConfigMap settings differs\n  \
              data.OLD\n  - \"1\"\n  \
              data.TIMEOUT\n  - \"5s\"\n  + \"50ms\"\n\n\
            members that differ: 1; that are the same: 3\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn of_a_file_only_the_lines_that_differ_are_shown() {
        let file = |port: u16| json!({"data": {"app.conf": format!("a\nb\nc\nlisten {port}\nd\ne\n")}});
        let text = shown(vec![config_map(file(80), file(8080))]);
        assert!(text.contains("  - listen 80\n  + listen 8080\n    d\n"), "{text}");
        assert!(!text.contains("    a\n"), "{text}");
    }

    #[test]
    fn a_line_feed_more_is_shown_as_well() {
        let text = shown(vec![config_map(json!({"data": {"a": "x\n"}}), json!({"data": {"a": "x"}}))]);
        assert!(text.contains("  - \"x\\n\"\n  + \"x\"\n"), "{text}");
    }

    #[test]
    fn a_secret_only_differs() {
        let hidden = || Side::Hidden(String::new());
        let secret = Changed::of(MemberKind::Secret, "login", hidden(), hidden());
        let forged = Side::Content(json!({"data": {"a": "c2VjcmV0"}}));
        let leaking = Changed::of(MemberKind::Secret, "login", forged, hidden());
        for member in [secret, leaking] {
            assert!(member.places.is_empty() && member.change == Change::Changed);
            let text = shown(vec![member]);
            assert!(text.contains("Secret login differs\n  (what a Secret holds is never shown)"), "{text}");
        }
    }

    #[test]
    fn what_is_on_one_side_only_is_said() {
        let added = Changed::of(MemberKind::Ingress, "web", Side::Nothing, Side::Content(json!({"spec": {}})));
        let removed = Changed::of(MemberKind::Service, "web", Side::Content(json!({"spec": {}})), Side::Nothing);
        let text = shown(vec![added, removed]);
        assert!(
            text.contains("Ingress web is only in the second") && text.contains("Service web is only in the first")
        );
    }

    #[test]
    fn much_is_bounded_and_hostile_text_is_harmless() {
        let many = |value: &str| -> Value {
            (0..200).map(|i| (format!("key-{i}"), json!(value.repeat(500)))).collect::<serde_json::Map<_, _>>().into()
        };
        let (from, to) = (json!({"data": many("\u{1b}]0;x\u{7}a")}), json!({"data": many("\u{202e}b\r")}));
        let text = shown(vec![config_map(from, to)]);
        assert!(text.contains("… and 150 more places"), "not bounded");
        assert!(text.lines().all(|line| line.chars().count() <= 80 && !line.chars().any(char::is_control)));
        assert!(!text.contains('\u{202e}'));
    }
}
