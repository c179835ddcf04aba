//! The interface: the custom resources that people write and read.
//!
//! Field documentation here is the user manual: it ends up in the CRDs and in `kubectl explain`.
//! This module holds shapes, defaults and bounds; it must not decide anything and must not know a
//! client, a clock or a cache.

pub mod budget;
pub mod check;
pub mod condition;
pub mod duration;
pub mod floors;
pub mod policy;
pub mod reason;
pub mod recovery;
pub mod stable_state;
pub mod via;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use budget::{RecoveryBudget, RecoveryBudgetSpec, RecoveryBudgetStatus};
pub use check::Check;
pub use condition::ConditionType;
pub use duration::Duration;
pub use floors::{FloorException, Floors, ImageFloor};
pub use policy::{Mode, RecoveryPolicy, RecoveryPolicySpec, RecoveryPolicyStatus};
pub use reason::Reason;
pub use recovery::{Journal, Outcome, Phase, Recovery, RecoverySpec, Remediation, Step, StepState};
pub use stable_state::{StableState, StableStateSpec};

/// API group of every kind of ours.
pub const GROUP: &str = "homeostat.dev";
/// The served version.
pub const VERSION: &str = "v1alpha1";
/// Field manager of every write, so that ownership can be found and handed back.
pub const FIELD_MANAGER: &str = "homeostat";

/// Labels and annotations that Homeostat sets or reads, all under `homeostat.dev/`.
pub mod mark {
    /// On a Deployment that we froze: the name of the Recovery that did it.
    pub const FROZEN_BY: &str = "homeostat.dev/frozen-by";
    /// On a StatefulSet that we froze: the partition that it had before, empty if none.
    pub const FROZEN_FROM: &str = "homeostat.dev/frozen-from";
    /// On a quarantined pod (label): the name of the Recovery that did it.
    pub const QUARANTINED_BY: &str = "homeostat.dev/quarantined-by";
    /// On a quarantined pod (annotation): the labels taken away, as a JSON object.
    pub const RELEASED_LABELS: &str = "homeostat.dev/released-labels";
    /// On a quarantined pod (annotation): when its inspection ends and it is deleted (RFC 3339).
    pub const INSPECT_UNTIL: &str = "homeostat.dev/inspect-until";
    /// On a NetworkPolicy by which we cut a target off from a dependency (label): the name of the Recovery that did it.
    pub const CUT_BY: &str = "homeostat.dev/cut-by";
    /// On a Service whose selector we switched, or a route whose weights we moved: the name of the Recovery that did it.
    pub const SWITCHED_BY: &str = "homeostat.dev/switched-by";
    /// On a node that we cordoned: the namespace and name of the Recovery that did it, as in `shop/web-1`.
    pub const CORDONED_BY: &str = "homeostat.dev/cordoned-by";
    /// On a Deployment or CronJob that we stopped: the name of the Recovery that did it.
    pub const STOPPED_BY: &str = "homeostat.dev/stopped-by";
    /// On a HorizontalPodAutoscaler whose `minReplicas` we raised: the name of the Recovery that did it.
    pub const SCALED_BY: &str = "homeostat.dev/scaled-by";
    /// On a workload that we created again, until the Recovery knows its uid: the name of the Recovery that did it.
    pub const RECREATED_BY: &str = "homeostat.dev/recreated-by";
    /// On a pod template: when its pods were made anew by us (RFC 3339).
    pub const RESTARTED_AT: &str = "homeostat.dev/restarted-at";
    /// On a workload, set by its owner: the current content must not be rolled back across.
    pub const IRREVERSIBLE: &str = "homeostat.dev/irreversible";
    /// On an object of ours (label): the policy it belongs to.
    pub const POLICY: &str = "homeostat.dev/policy";
    /// On an immutable copy (label): the kind of object it is a copy of.
    pub const COPY_OF: &str = "homeostat.dev/copy-of";
}

/// Every CRD of the group, in the order in which they are installed.
#[must_use]
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![RecoveryPolicy::crd(), StableState::crd(), Recovery::crd(), RecoveryBudget::crd()]
}
