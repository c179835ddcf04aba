//! The list of states: what each is, and whether it could be used.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::source::Source;
use super::text::{WIDTH, plain, wrap};
use crate::api::stable_state::Review;
use crate::api::{Reason, StableState};
use crate::plan::facts::Facts;
use crate::plan::{closure, states};

/// So much of a digest tells states apart.
const SHORT_DIGEST: usize = 8;

/// The states of a namespace.
#[derive(Debug, Serialize)]
pub(super) struct List {
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    states: Vec<Row>,
    notes: Vec<String>,
}

/// One state.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    policy: String,
    target: String,
    created: Option<Timestamp>,
    #[serde(skip)]
    age: String,
    digest: String,
    members: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<Review>,
    /// What it is good for.
    #[serde(flatten)]
    standing: Standing,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    usable: bool,
    /// What the live target is compared with, and what would be restored.
    reference: bool,
    /// The live target equals it.
    live: bool,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// The states of a namespace, or of one policy in it; each policy's newest first.
pub(super) async fn of(source: &Source, policy: Option<&str>, now: Timestamp) -> anyhow::Result<List> {
    let mut found = source.states().await?;
    found.retain(|state| policy.is_none_or(|policy| state.spec.record.policy == policy));
    let (mut notes, mut known) = (source.notes.clone(), BTreeMap::new());
    if !found.is_empty() {
        let look = source.look().await?;
        notes.extend(look.notes.iter().cloned());
        for state in &found {
            let policy = &state.spec.record.policy;
            known.entry(policy.clone()).or_insert_with(|| look.facts(&source.namespace, policy));
        }
    }
    let facts = |state: &StableState| known.get(&state.spec.record.policy).and_then(Option::as_ref);
    let mut states: Vec<Row> = found.iter().map(|state| row(state, facts(state), now)).collect();
    states.sort_by(|a, b| {
        a.policy.cmp(&b.policy).then_with(|| b.created.cmp(&a.created)).then_with(|| a.name.cmp(&b.name))
    });
    Ok(List { namespace: source.namespace.clone(), policy: policy.map(str::to_owned), states, notes })
}

fn row(state: &StableState, facts: Option<&Facts>, now: Timestamp) -> Row {
    let (name, record) = (state.name_any(), &state.spec.record);
    let created = state.creation_timestamp().map(|at| at.0);
    Row {
        standing: standing(&name, &record.policy, facts),
        name,
        policy: record.policy.clone(),
        target: format!("{} {}", record.target.kind, record.target.name),
        created,
        age: created.map(|created| age(created, now)).unwrap_or_default(),
        digest: record.digest.clone(),
        members: record.members.len(),
        review: state.spec.review,
    }
}

fn standing(name: &str, policy: &str, facts: Option<&Facts>) -> Standing {
    let Some(facts) = facts else {
        let message = format!("its RecoveryPolicy {policy} does not exist; apply it again, or delete the state");
        return Standing { message, ..Standing::default() };
    };
    let Some(state) = facts.states.iter().find(|state| state.name == name) else {
        let message = "it was recorded or deleted this moment; ask again".to_owned();
        return Standing { message, ..Standing::default() };
    };
    let live = closure::live_digest(facts).as_ref() == Some(&state.digest);
    match states::usable(facts, state) {
        Ok(()) => {
            let reference = states::reference(facts).is_ok_and(|reference| reference.name == name);
            Standing { usable: true, reference, live, ..Standing::default() }
        }
        Err(refusal) => {
            Standing { reason: Some(refusal.reason), message: refusal.message, live, ..Standing::default() }
        }
    }
}

/// In the largest unit that gives a whole number.
fn age(created: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(created).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

impl Row {
    fn cells(&self) -> [String; 7] {
        let digest: String = self.digest.chars().take(SHORT_DIGEST).collect();
        let review = self.review.map(|review| format!("{review:?}")).unwrap_or_default();
        let Standing { usable, reference, live, reason, .. } = &self.standing;
        let mut standing = match (usable, reference, reason) {
            (true, true, _) => "reference".to_owned(),
            (true, false, _) => "usable".to_owned(),
            (false, _, Some(reason)) => reason.to_string(),
            (false, _, None) => "no".to_owned(),
        };
        if *live {
            standing.push_str(", live");
        }
        let cells = [&self.name, &self.target, &self.age, &digest];
        let [name, target, age, digest] = cells.map(|cell| plain(cell));
        [name, target, age, digest, self.members.to_string(), review, standing]
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.states.is_empty() {
            let of = self.policy.as_ref().map(|policy| format!(" of policy {}", plain(policy))).unwrap_or_default();
            let text = "one is recorded when a target has held its criteria for the soak of its policy";
            return f.write_str(&wrap(
                "",
                &format!("no stable states{of} in namespace {}; {text}", plain(&self.namespace)),
            ));
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(WIDTH).unwrap_or(u16::MAX));
        table.set_header(["NAME", "TARGET", "AGE", "DIGEST", "MEMBERS", "REVIEW", "USE"]);
        table.add_rows(self.states.iter().map(Row::cells));
        for line in table.lines() {
            writeln!(f, "{}", line.trim())?;
        }
        for row in self.states.iter().filter(|row| !row.standing.message.is_empty()) {
            f.write_str(&wrap("  ", &format!("{}: {}", plain(&row.name), plain(&row.standing.message))))?;
        }
        self.notes.iter().try_for_each(|note| f.write_str(&wrap("note: ", &plain(note))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, standing: Standing) -> Row {
        Row {
            name: name.into(),
            policy: "web".into(),
            target: "Deployment web".into(),
            created: None,
            age: "2h".into(),
            digest: "0123456789abcdef".into(),
            members: 5,
            review: Some(Review::Pin),
            standing,
        }
    }

    #[test]
    fn the_list_says_which_is_used_and_why_others_are_not() {
        let used = Standing { usable: true, reference: true, live: true, ..Standing::default() };
        let message = "copy homeostat-1 of ConfigMap settings is missing or changed".to_owned();
        let broken = Standing { reason: Some(Reason::CopyMissing), message, ..Standing::default() };
        let states = vec![row("web-1", used), row("web-\u{1b}[2J", broken)];
        let text = List { namespace: "shop".into(), policy: None, states, notes: vec!["offline".into()] }.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("01234567 ") && lines[1].ends_with("reference, live"), "{text}");
        assert!(lines[2].contains("CopyMissing") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("copy homeostat-1") && text.ends_with("note: offline\n"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn an_empty_list_says_how_one_comes_about() {
        let text =
            List { namespace: "shop".into(), policy: Some("web".into()), states: vec![], notes: vec![] }.to_string();
        assert!(text.contains("no stable states of policy web in namespace shop"), "{text}");
    }

    #[test]
    fn ages_have_one_unit() {
        let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(1000);
        let ago = |seconds: i64| age(now - jiff::SignedDuration::from_secs(seconds), now);
        assert_eq!([5, 119, 7200, 200_000, -5].map(ago), ["5s", "1m", "2h", "2d", "0s"]);
    }
}
