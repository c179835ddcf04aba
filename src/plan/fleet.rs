//! All targets of the operator seen from one of them: how many are armed, in trouble, under action or waiting, and what
//! the RecoveryBudgets allow. These are facts of a decision like any other; what counts them is [`super::register`].

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bonds::Ties;
use super::brake::Brake;
use crate::api::budget::{BrakeLimit, ClusterLimit, NamespaceLimit, RecoveryBudgetSpec};
use crate::api::recovery::{Journal, Phase, Remediation, StepState};

/// A policy and with it its target, by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Who {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
}

/// Somebody who would act but for a budget. In the order in which they have their turn: the oldest symptom first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Waiting {
    /// Since when its symptom counts.
    pub since: Timestamp,
    /// Who.
    pub who: Who,
}

/// The other targets, and what all of them together may do. By default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fleet {
    /// What the RecoveryBudgets allow.
    pub limits: Limits,
    /// Others that are armed: in charge, and seen.
    pub armed: u32,
    /// Of those, the ones in the same namespace.
    pub armed_here: u32,
    /// Others that hold a token.
    pub under_action: u32,
    /// Of those, the ones in the same namespace.
    pub under_action_here: u32,
    /// Armed others that became unstable within the brake's window, whether or not they healed meanwhile.
    pub unstable: u32,
    /// Armed others that are in trouble now: with a symptom, or with too few ready pods on the way to one.
    pub in_trouble: u32,
    /// When this target last became unstable.
    pub last_onset: Option<Timestamp>,
    /// Others that wait for a token and could have one of those that are free in their namespace.
    pub queue: Vec<Waiting>,
    /// The brake as it was left.
    pub brake: Brake,
    /// What the target depends on, and what depends on it.
    pub ties: Ties,
}

/// What the RecoveryBudgets allow together: of each field the strictest value; without any, the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How many at once, in the cluster.
    pub cluster: ClusterLimit,
    /// How many at once, in each namespace.
    pub namespace: NamespaceLimit,
    /// How many nodes may be cordoned by us.
    pub max_cordoned: u32,
    /// When everything new stops.
    pub brake: BrakeLimit,
    /// Names of RecoveryBudgets that cannot be read: one of them might be the strictest.
    pub unread: BTreeSet<String>,
}

impl Limits {
    /// The strictest of all budgets.
    #[must_use]
    pub fn strictest<'a>(specs: impl IntoIterator<Item = &'a RecoveryBudgetSpec>, unread: BTreeSet<String>) -> Self {
        let all = specs.into_iter().map(|spec| Self {
            cluster: spec.cluster,
            namespace: spec.namespace,
            max_cordoned: spec.nodes.max_cordoned,
            brake: spec.brake,
            unread: BTreeSet::new(),
        });
        Self { unread, ..all.reduce(Self::stricter).unwrap_or_default() }
    }

    fn stricter(self, other: Self) -> Self {
        let (mut limits, b) = (self, other.brake);
        let a = &mut limits;
        a.cluster.max_targets = a.cluster.max_targets.min(other.cluster.max_targets);
        a.cluster.max_percent = a.cluster.max_percent.min(other.cluster.max_percent);
        a.namespace.max_targets = a.namespace.max_targets.min(other.namespace.max_targets);
        a.namespace.max_percent = a.namespace.max_percent.min(other.namespace.max_percent);
        a.max_cordoned = a.max_cordoned.min(other.max_cordoned);
        a.brake.min_targets = a.brake.min_targets.min(b.min_targets);
        a.brake.min_percent = a.brake.min_percent.min(b.min_percent);
        a.brake.window = a.brake.window.max(b.window);
        a.brake.release.below_percent = a.brake.release.below_percent.min(b.release.below_percent);
        a.brake.release.after = a.brake.release.after.max(b.release.after);
        limits
    }

    /// How many targets may be under action in the cluster, of so many that are armed.
    #[must_use]
    pub fn in_cluster(&self, armed: u32) -> u32 {
        at_most(self.cluster.max_targets, self.cluster.max_percent, armed)
    }

    /// How many may be in one namespace, of so many that are armed there.
    #[must_use]
    pub fn in_namespace(&self, armed: u32) -> u32 {
        at_most(self.namespace.max_targets, self.namespace.max_percent, armed)
    }
}

/// Percentages are rounded down, but a single target may always be helped.
fn at_most(targets: u32, percent: u32, armed: u32) -> u32 {
    let share = u64::from(armed) * u64::from(percent) / 100;
    targets.min(u32::try_from(share).unwrap_or(u32::MAX).max(1))
}

/// Whether an incident holds a token: something of it is under way, or something of ours is in place that has to be
/// taken away again. One that only holds, whatever it tried before, lets others have their turn.
#[must_use]
pub fn under_action(journal: &Journal) -> bool {
    match journal.phase {
        Phase::Acting | Phase::Verifying | Phase::OnStandby | Phase::Releasing => true,
        Phase::Holding | Phase::AwaitingApproval => {
            stands(journal, Remediation::FreezeRollout, &[Remediation::ReleaseFreeze, Remediation::RestoreTemplate])
                || stands(journal, Remediation::SwitchService, &[Remediation::ReturnService])
                || stands(journal, Remediation::SwitchRoute, &[Remediation::ReturnRoute])
                || stands(journal, Remediation::StopNeighbour, &[Remediation::ReleaseNeighbour])
                || stands(journal, Remediation::PreScaleStandby, &[Remediation::ReleaseStandby])
                || stands(journal, Remediation::CutDependency, &[Remediation::ReleaseDependency])
        }
        Phase::Closed => false,
    }
}

/// Something was put in place, and nothing that ends it was done.
fn stands(journal: &Journal, put: Remediation, ended_by: &[Remediation]) -> bool {
    let mut done = journal.steps.iter().filter(|step| step.state == StepState::Done).map(|step| step.remediation);
    done.clone().any(|done| done == put) && !done.any(|done| ended_by.contains(&done))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Duration;
    use crate::api::budget::{NodeLimit, Release};

    #[test]
    fn a_share_is_rounded_down_but_one_may_always_be_helped() {
        let limits = Limits::default();
        let table = [(0, 1), (1, 1), (9, 1), (10, 2), (14, 2), (49, 9), (50, 10), (1000, 10)];
        for (armed, expected) in table {
            assert_eq!(limits.in_cluster(armed), expected, "{armed} armed");
        }
        assert_eq!([1, 3, 4, 100].map(|armed| limits.in_namespace(armed)), [1, 1, 2, 5]);
    }

    #[test]
    fn of_several_budgets_the_strictest_value_of_each_field_counts() {
        let loose = RecoveryBudgetSpec {
            cluster: ClusterLimit { max_targets: 100, max_percent: 5 },
            namespace: NamespaceLimit { max_targets: 1, max_percent: 100 },
            nodes: NodeLimit { max_cordoned: 3 },
            brake: BrakeLimit {
                min_targets: 2,
                min_percent: 90,
                window: Duration::minutes(1),
                release: Release { below_percent: 80, after: Duration::minutes(60) },
            },
        };
        let both = Limits::strictest([&loose, &RecoveryBudgetSpec::default()], BTreeSet::new());
        assert_eq!((both.cluster.max_targets, both.cluster.max_percent), (10, 5));
        assert_eq!((both.namespace.max_targets, both.namespace.max_percent, both.max_cordoned), (1, 50, 0));
        let brake = both.brake;
        assert_eq!((brake.min_targets, brake.min_percent, brake.window), (2, 50, Duration::minutes(5)));
        assert_eq!((brake.release.below_percent, brake.release.after), (20, Duration::minutes(60)));
        // One alone may be looser than the defaults; without any, those hold.
        assert_eq!(Limits::strictest([&loose], BTreeSet::new()).cluster.max_targets, 100);
        assert_eq!(Limits::strictest([], BTreeSet::new()), Limits::default());
    }
}
