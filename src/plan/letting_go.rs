//! Letting go: when an incident is no longer ours, and how we leave.
//!
//! First our own freeze and quarantine are released, one guarded write each; then nothing more is
//! written. A paused Deployment would swallow the fix of the person who took over.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::closure::{self, live_digest};
use super::facts::{Facts, RecoveryFacts};
use super::journal::{View, cut};
use super::member::MemberKind;
use super::{checks, cuts, deletion, neighbours, nodes, on_standby, owners, parity, pre_scale, steps, traffic, verify};
use crate::api::recovery::{Journal, Phase, Remediation, Remedy, Step, StepState};
use crate::api::stable_state::Group;
use crate::api::{Mode, Outcome, Reason};

/// How an incident ends when we let go.
pub(super) struct End {
    pub outcome: Outcome,
    pub reason: Reason,
    pub message: String,
}

/// Whether we have to let go of `open`, and why.
pub(super) fn due(facts: &Facts, open: &RecoveryFacts) -> Option<End> {
    if !facts.sight.blind.is_empty() || open.journal.phase == Phase::Releasing {
        return None;
    }
    let end = |outcome, reason, message: &str| Some(End { outcome, reason, message: message.into() });
    let policy = match &facts.policy {
        Some(policy) if !policy.deleting => policy,
        _ => return end(Outcome::Abandoned, Reason::PolicyDeleted, "the policy was deleted; what we held is released"),
    };
    let other = facts.target.as_ref().is_none_or(|target| target.uid != open.journal.target.uid);
    if other && deletion::of_deletion(open) && !deletion::as_expected(facts, open) {
        let message = "somebody created the target again, or deleted what we created; we let go and write nothing more";
        return end(Outcome::Superseded, Reason::Superseded, message);
    }
    if other && !deletion::of_deletion(open) {
        let message = "the target was deleted, or replaced by another of the same name; it is not touched";
        return end(Outcome::Abandoned, Reason::TargetGone, message);
    }
    if open.spec.abort {
        return end(Outcome::Abandoned, Reason::AbortedByUser, "a person asked to abort; what we held is released");
    }
    if policy.spec.suspend || facts.ceiling.suspended {
        return end(Outcome::Abandoned, Reason::Suspended, "suspended; what we held is released");
    }
    if let Some(rival) = policy.rivals.first() {
        let message = format!("RecoveryPolicy {rival} names the same target; what we held is released");
        return end(Outcome::Abandoned, Reason::Conflicted, &message);
    }
    let frozen = facts.target.as_ref().is_some_and(|target| target.frozen_by.as_ref() == Some(&open.name));
    let raised = !pre_scale::stays(facts, &open.name).is_empty();
    let busy = open.journal.phase == Phase::Acting || frozen || raised;
    if policy.spec.mode.min(facts.ceiling.mode) == Mode::Observe && busy {
        return end(
            Outcome::Abandoned,
            Reason::ObserveOnly,
            "the mode was lowered to Observe; what we held is released",
        );
    }
    if let Some(step) = owners::reverted(facts, &open.journal) {
        let message = owners::told(facts, &open.journal, step);
        return end(Outcome::Escalated, Reason::RevertedByGitOps, &message);
    }
    let who = superseded(facts, open)?;
    end(Outcome::Superseded, Reason::Superseded, &format!("{who}; we let go and write nothing more"))
}

/// Begins to leave: what was planned is dropped, what we hold is to be released.
pub(super) fn release(view: &View, open: &RecoveryFacts, journal: &mut Journal, end: End) {
    journal.phase = Phase::Releasing;
    journal.outcome = Some(end.outcome);
    journal.reason = end.reason;
    journal.message = cut(&end.message);
    let gone = end.reason == Reason::TargetGone;
    // Whether a cordon or a NetworkPolicy whose receipt was lost happened is seen when it is taken away.
    let begun = journal.attempt > 0;
    let fence = |step: &Step| {
        use Remediation::{AllowPodNetwork, ReleaseDependency, UncordonNode};
        begun && matches!(step.remediation, UncordonNode | AllowPodNetwork | ReleaseDependency)
    };
    for step in journal.steps.iter_mut().filter(|step| step.state == StepState::Planned && !fence(step)) {
        step.state = StepState::Skipped;
    }
    let held = steps::release(view.facts, &open.name).into_iter();
    journal.steps.extend(held.filter(|step| !gone || !of_target(step)));
    let away = away(view.facts, open);
    match away.filter(|_| !gone && can_take_traffic(view)) {
        Some(step) => journal.steps.push(traffic::home(&open.journal, step)),
        None if away.is_some() => {
            let stays = pre_scale::stays(view.facts, &open.name);
            let said = &journal.message;
            journal.message = cut(&format!("{said}; traffic stays on the standby, because home is not healthy{stays}"));
        }
        None => {}
    }
    close_if_done(view, journal);
}

/// What is done to the target itself, which may be gone.
fn of_target(step: &Step) -> bool {
    use Remediation::{DeletePod, HandBackFields, ReleaseNeighbour, ReleaseStandby};
    !matches!(step.remediation, DeletePod | ReleaseNeighbour | ReleaseStandby | HandBackFields)
}

/// Goes on leaving. After somebody else's change was met at a write, what we hold is still to be planned.
pub(super) fn release_or_close(view: &View, journal: &mut Journal) {
    let planned: Vec<Step> = steps::release(view.facts, &open_name(view))
        .into_iter()
        .filter(|step| {
            let same = |other: &Step| other.remediation == step.remediation && other.object == step.object;
            !journal.steps.iter().any(same)
        })
        .collect();
    journal.steps.extend(planned);
    close_if_done(view, journal);
}

fn open_name(view: &View) -> String {
    view.facts.open_recovery().map(|open| open.name.clone()).unwrap_or_default()
}

fn close_if_done(view: &View, journal: &mut Journal) {
    if journal.steps.iter().all(|step| step.state != StepState::Planned) {
        journal.phase = Phase::Closed;
        journal.timeline.closed = Some(MicroTime(view.now));
    }
}

/// The step that left traffic away from home, under our mark, whether or not its receipt was lost.
fn away<'a>(facts: &Facts, open: &'a RecoveryFacts) -> Option<&'a Step> {
    let moves = |step: &&Step| traffic::moves(step.remediation) && !traffic::returns(step.remediation);
    open.journal.steps.iter().filter(moves).find(|step| as_moved(facts, open, step))
}

/// Whether what a step moved carries our mark and is still as we made it.
fn as_moved(facts: &Facts, open: &RecoveryFacts, step: &Step) -> bool {
    traffic::marked(facts, step, &open.name) && points(facts, step)
}

/// Whether what a step moves is as the step makes it.
fn points(facts: &Facts, step: &Step) -> bool {
    traffic::position(facts, step).as_ref() == Some(&step.to)
}

/// Without a policy there is no assessment; then the counts of the Deployment's own controller have to do.
fn can_take_traffic(view: &View) -> bool {
    let Some(target) = &view.facts.target else { return false };
    match view.facts.policy {
        Some(_) => {
            verify::missing_at_home(view.facts, view.assessment).is_empty()
                && checks::judge(view.facts, view.now).pass()
        }
        None => {
            let caught_up = target.observed_generation >= target.generation && !target.deleting && !target.paused;
            caught_up && target.replicas > 0 && target.available_replicas >= target.replicas
        }
    }
}

/// Who moved, if what is live is neither what we found nor what we put there.
fn superseded(facts: &Facts, open: &RecoveryFacts) -> Option<String> {
    let journal = &open.journal;
    let target = facts.target.as_ref()?;
    let done = |remediation| journal.steps.iter().any(|s| s.remediation == remediation && s.state == StepState::Done);
    // The restore of the template ends our freeze as well.
    let unfrozen = done(Remediation::ReleaseFreeze) || done(Remediation::RestoreTemplate);
    if done(Remediation::FreezeRollout) && !unfrozen && journal.phase == Phase::Holding && !target.paused {
        return Some(format!("somebody let {} go on, which we had frozen", target.title()));
    }
    let undone = nodes::uncordoned_by_other(facts, open).or_else(|| neighbours::let_go_by_other(facts, journal));
    if let Some(who) = undone.or_else(|| cuts::undone_by_other(facts, open)) {
        return Some(who);
    }
    if let Some(step) = on_standby::switched(journal) {
        // A move that happened, and whose receipt was lost, is our own.
        let planned = |step: &&Step| traffic::moves(step.remediation) && step.state == StepState::Planned;
        let moved = journal.steps.iter().filter(planned).any(|step| points(facts, step));
        let ours = as_moved(facts, open, step) || moved;
        return (!ours).then(|| format!("somebody changed {}", step.object));
    }
    let restoring = journal.attempt > 0 && journal.decision.remedy.restores();
    if journal.decision.remedy == Remedy::Failover && journal.attempt > 0 {
        return None;
    }
    if !restoring && !restored(journal) {
        return (live_digest(facts)? != journal.broken)
            .then(|| "the target or its configuration was changed meanwhile".into());
    }
    let state = facts.states.iter().find(|state| state.name == journal.stable_state)?;
    let groups = closure::groups(facts);
    state.members.iter().find_map(|member| {
        let looked_at = |kind: &MemberKind| kind.group().is_none_or(|group| groups.contains(&group));
        let kind = MemberKind::of(&member.kind).filter(looked_at)?;
        let live = closure::live_of(facts, kind, &member.name).1;
        let of_member = |step: &&Step| {
            step.remediation.restores() && step.object.kind == member.kind && step.object.name == member.name
        };
        let stricter = parity::spared(facts, member);
        let expected = match journal.steps.iter().rev().find(of_member) {
            // What the plan left alone may be anybody's to change, but for what the pods are made of.
            None => live == member.digest || stricter || !kind.referred_to() || others(kind),
            Some(step) if step.state == StepState::Done => live == step.to || (stricter && !step.keeps.is_empty()),
            Some(step) if step.remediation == Remediation::RecreateWorkload => live.is_empty() || live == step.to,
            Some(step) => live == step.from || live == step.to || (stricter && !step.keeps.is_empty()),
        };
        (!expected).then(|| format!("somebody changed {} {} meanwhile", member.kind, member.name))
    })
}

/// What others may set while we act.
fn others(kind: MemberKind) -> bool {
    kind.group() == Some(Group::GuardRails) || kind.outside()
}

/// Some content was put back in this incident.
fn restored(journal: &Journal) -> bool {
    journal.steps.iter().any(|step| step.remediation.restores() && step.state == StepState::Done)
}
