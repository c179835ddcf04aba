//! Who keeps an object like a repository, and what came of writing to it all the same.
//!
//! Whether a tool undoes what others write is known only once it did; one time is enough. From then on that write is not
//! made again, whoever undid it: two that write against each other help nobody. This module must not decide what else
//! to do.

use serde_json::Value;

use super::closure::{self, Difference};
use super::compare::places;
use super::facts::{Facts, PolicyFacts, RecoveryFacts, StateFacts};
use super::member::MemberKind;
use super::traffic;
use crate::api::policy::GitOps;
use crate::api::recovery::{Journal, Remediation, Step, StepState};
use crate::api::{Outcome, Reason};

/// Argo CD, for people.
pub const ARGO_CD: &str = "Argo CD";
/// Flux, for people.
pub const FLUX: &str = "Flux";

/// The longest text about what was changed, in characters: `Step.change` holds it.
const LONGEST: usize = 2000;

/// The tool that writes under this name as a field manager.
#[must_use]
pub fn tool(manager: &str) -> Option<&'static str> {
    match manager {
        "argocd-controller" | "argocd-application-controller" => Some(ARGO_CD),
        "kustomize-controller" | "helm-controller" => Some(FLUX),
        _ => None,
    }
}

/// What was changed from `before` to `after`: one line for each place, as far as there is room.
#[must_use]
pub fn change(before: &Value, after: &Value) -> String {
    let mut text = String::new();
    for place in places(before, after) {
        let line = match place.to {
            Some(value) => format!("{}: {value}", place.path),
            None => format!("{}: (not there)", place.path),
        };
        let separator = if text.is_empty() { "" } else { "\n" };
        if text.chars().count() + line.chars().count() + 1 > LONGEST {
            text.push_str(separator);
            text.push('…');
            break;
        }
        text.push_str(separator);
        text.push_str(&line);
    }
    text
}

/// The tool that keeps this object; of a target that was deleted, the one that kept it.
fn keeper<'a>(facts: &'a Facts, kind: MemberKind, name: &str) -> Option<&'a str> {
    match kind {
        _ if kind.workload() => facts.subject().filter(|target| target.kind == kind)?.git_ops.as_deref(),
        MemberKind::ConfigMap => facts.config_maps.get(name)?.git_ops.as_deref(),
        _ => facts.object(kind, name)?.git_ops.as_deref(),
    }
}

/// The tool that keeps what differs. What is gone has no marks: then who owned it tells.
pub(super) fn keeper_of<'a>(facts: &'a Facts, difference: &Difference) -> Option<&'a str> {
    let owned = || difference.owner.filter(|_| difference.live.is_empty()).and_then(|owner| tool(&owner.manager));
    keeper(facts, difference.kind, difference.name).or_else(owned)
}

/// A member of `state` that would be put back and that a tool keeps, where the policy respects that: for people.
pub(super) fn kept(facts: &Facts, policy: &PolicyFacts, state: &StateFacts) -> Option<String> {
    if policy.spec.git_ops == GitOps::Override {
        return None;
    }
    // The target itself says most.
    let members = state.members.iter().rev();
    members.filter_map(|member| Some((MemberKind::of(&member.kind)?, member))).find_map(|(kind, member)| {
        let tool = keeper(facts, kind, &member.name).filter(|_| closure::written(facts, kind))?;
        Some(format!("{tool} keeps {kind} {}", member.name))
    })
}

/// Something that we wrote in this incident and that is again exactly as we had found it.
pub(super) fn reverted<'a>(facts: &Facts, journal: &'a Journal) -> Option<&'a Step> {
    let homewards = |step: &Step| traffic::moves(step.remediation) && !traffic::leaves(step.remediation);
    let returning = journal.steps.iter().any(homewards);
    let back = |step: &&Step| match step.remediation {
        remediation if remediation.restores() => MemberKind::of(&step.object.kind)
            .is_some_and(|kind| closure::live_of(facts, kind, &step.object.name).1 == step.from),
        remediation if traffic::leaves(remediation) && !returning => {
            traffic::position(facts, step).as_ref() == Some(&step.from)
        }
        _ => false,
    };
    let mut done = journal.steps.iter().filter(|step| step.state == StepState::Done && step.from != step.to);
    done.find(back)
}

/// What is said when `step` was undone: by whom, and what is to be changed where the object is kept.
pub(super) fn told(facts: &Facts, journal: &Journal, step: &Step) -> String {
    let object = &step.object;
    let kind = MemberKind::of(&object.kind);
    let tool = kind.and_then(|kind| keeper(facts, kind, &object.name));
    let writer = facts.target.as_ref().filter(|target| kind == Some(target.kind) && target.name == object.name);
    let writer = writer.and_then(|target| target.last_writer.as_deref());
    let who = tool.or(writer).unwrap_or("somebody");
    let what = match step.remediation {
        Remediation::RemoveObject => format!("remove {object}"),
        Remediation::SwitchService => format!("spec.selector: {}", step.to),
        Remediation::SwitchRoute => format!("the weights of spec.rules: {}", step.to),
        _ if step.change.is_empty() => {
            format!("`homeostat states diff {} --live` shows it", journal.stable_state)
        }
        _ => step.change.clone(),
    };
    format!(
        "{who} put {object} back to what we had found; we do not write that again. To be changed where it is kept: {what}"
    )
}

/// The incident in which we wrote this object away from what it is now, and which ended because that was undone.
pub(super) fn undone_before<'a>(
    facts: &'a Facts,
    kind: MemberKind,
    name: &str,
    live: &str,
) -> Option<(&'a RecoveryFacts, &'a Step)> {
    let mut ended = facts.recoveries.iter().rev().filter(|recovery| by_reversion(&recovery.journal));
    let same = |step: &&Step| {
        step.state == StepState::Done
            && undoable(step)
            && (step.object.kind == kind.name() && step.object.name == name && step.from == live)
    };
    ended.find_map(|recovery| Some((recovery, recovery.journal.steps.iter().find(same)?)))
}

/// As [`undone_before`], for what differs from a state.
pub(super) fn undone<'a>(facts: &'a Facts, differences: &[Difference]) -> Option<(&'a RecoveryFacts, &'a Step)> {
    differences.iter().find_map(|found| undone_before(facts, found.kind, found.name, found.live))
}

/// The incident was ended because what we wrote was undone.
#[must_use]
pub fn by_reversion(journal: &Journal) -> bool {
    journal.reason == Reason::RevertedByGitOps && journal.outcome == Some(Outcome::Escalated)
}

/// A step that others may undo.
#[must_use]
pub fn undoable(step: &Step) -> bool {
    step.remediation.restores() || traffic::leaves(step.remediation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_place_by_place() {
        let of =
            |image: &str, env: Value| json!({"spec": {"containers": [{"name": "web", "image": image, "env": env}]}});
        let (before, after) = (of("shop/web:2", json!([{"name": "A", "value": "1"}])), of("shop/web:1", json!([])));
        assert_eq!(
            change(&before, &after),
            "spec.containers[web].env[A]: (not there)\nspec.containers[web].image: \"shop/web:1\""
        );
        assert_eq!(change(&before, &before), "");
    }

    #[test]
    fn a_long_change_is_cut_between_places() {
        let data: serde_json::Map<String, Value> =
            (0..100).map(|n| (format!("key-{n:03}"), json!("x".repeat(50)))).collect();
        let text = change(&json!({"data": {}}), &json!({"data": data}));
        assert!(text.chars().count() <= LONGEST + 2, "{}", text.len());
        assert!(text.ends_with("\n…") && text.lines().count() > 20, "{text}");
    }

    #[test]
    fn only_tools_that_keep_a_repository_are_named() {
        assert_eq!(tool("kustomize-controller"), Some(FLUX));
        assert_eq!(tool("argocd-controller"), Some(ARGO_CD));
        assert_eq!((tool("helm"), tool("kubectl")), (None, None));
    }
}
