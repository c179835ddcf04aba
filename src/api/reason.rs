//! One closed set of names. A reason is at once the reason of a condition, of an Event and of a
//! hold, the value of a metric label, an anchor in the documentation and the name of a test.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares the enum together with the list of all of its values, so that the list cannot fall behind.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why something is as it is. Each decision branch has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All reasons, in declaration order.
            pub const ALL: &[Reason] = &[$(Reason::$name,)*];

            /// The reason as written in conditions, Events and metric labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$name => stringify!($name),)* }
            }
        }
    };
}

reasons! {
    // ---- of a policy
    /// The policy is accepted and armed: references resolved, watches fresh.
    Armed,
    /// The object named by `targetRef` does not exist.
    TargetNotFound,
    /// The target is owned by another controller, which would undo what we do.
    TargetOwned,
    /// The target is a DaemonSet that nodes cannot work without.
    TargetProtected,
    /// Another policy names the same target; neither acts.
    Conflicted,
    /// Facts are missing or too old to judge by.
    Blind,
    /// The policy itself says `suspend`, or the whole operator is suspended.
    Suspended,
    /// The chart's ceiling lowers this policy's mode.
    ModeCeiling,
    /// The policy or an object it needs cannot be read.
    Malformed,
    // ---- of a target
    /// Every criterion of stability holds.
    Healthy,
    /// A rollout is under way, and has time left.
    RollingOut,
    /// Pods that were added or moved are not ready yet, and have time left.
    PodsStarting,
    /// No pod is wanted: the target is scaled to zero.
    ScaledToZero,
    /// A container restarts again and again.
    CrashLoop,
    /// An image cannot be pulled.
    ImagePull,
    /// A container or pod cannot be created.
    PodCreation,
    /// A rollout is past its deadline.
    RolloutStuck,
    /// Fewer pods are ready than required.
    Unavailable,
    /// Traffic that reached the target in its stable state does not reach it any more.
    CutOff,
    /// A check of metrics is answered with a bad value.
    CheckFailing,
    /// A check of metrics is not answered, so that nobody knows whether the target is well.
    CheckUnknown,
    /// What declares to depend on the target fails since the target changed.
    DependentsFailing,
    /// An autoscaler was changed, and keeps the target at its most since.
    AtLimit,
    // ---- of being recoverable
    /// A verified stable state exists and can be used.
    StateReady,
    /// The target has not yet held its criteria for the soak.
    Soaking,
    /// There is no verified stable state to go back to.
    NoStableState,
    /// The seal of a stable state is not ours: it was forged, edited or moved.
    SealInvalid,
    /// A copy that a stable state needs is missing or changed.
    CopyMissing,
    /// A closure is too large to be recorded.
    TooLarge,
    /// It is not known whether the stable state could be restored now.
    NotRehearsed,
    /// A pod of the stable state would not be admitted now.
    PodRefused,
    /// Something that a pod of the stable state needs does not exist now.
    ReferenceMissing,
    /// The write that would restore the stable state would not be admitted now.
    RestoreRefused,
    /// The operator has no right to something that the policy asks for, or that the restore needs.
    RightMissing,
    // ---- of a decision
    /// The closure changed and the symptom began after: restore it.
    ChangeReverted,
    /// A bad copy among good ones of the same revision: take it out.
    PodIsolated,
    /// The bad revision is stopped from spreading while nothing else is possible.
    RolloutFrozen,
    /// The target is down, nothing changed here and the standby is ready: move the traffic.
    TrafficMoved,
    /// The target is down and the standby is too small: its autoscaler is told to keep more pods, before traffic moves.
    StandbyPreScaled,
    /// A declared neighbour was added or took more, and the symptom began after: stop it.
    NeighbourStopped,
    /// Nothing differs from the stable state, so there is nothing to revert.
    NoChangeToRevert,
    /// The symptom began before the change, so reverting the change would not help.
    SymptomBeforeChange,
    /// Nothing changed here, but exactly one declared dependency did before: its own policy decides.
    DependencyChanged,
    /// Nothing changed here, but exactly one declared dependency fails itself.
    DependencyFailing,
    /// The target is cut off from a dependency that it can do without.
    DependencyCut,
    /// A NetworkPolicy cannot keep exactly that dependency away, and nothing else.
    CutNotExact,
    /// More than one change elsewhere may be the cause.
    SeveralSuspects,
    /// A dependency changed before, but most of those that depend on it are fine.
    DependentsFine,
    /// The cause is not known.
    CauseUnknown,
    /// The policy does not allow this remedy.
    NotAllowed,
    /// The remedy does not fit the suspect.
    NotIndicated,
    /// More pods are bad than may be isolated.
    TooManyPods,
    /// The remedy would take the last ready copy.
    LastHealthyCopy,
    /// Too much fails together: nothing new is begun anywhere.
    BrakeOn,
    /// As many targets are under action as the RecoveryBudget allows.
    BudgetExhausted,
    /// Nothing changed here: wait a moment to see whether others fail as well.
    Settling,
    /// Many others are in trouble at the same time, so the cause is probably shared, perhaps by the standby.
    SharedFault,
    /// No standby is declared.
    NoStandby,
    /// The declared standby is missing or not ready.
    StandbyNotReady,
    /// The Service named for failover is missing or does not lead to the target.
    ServiceNotFound,
    /// The target still serves; failover is for a target that is down.
    TargetServing,
    /// The stable state is older than the policy allows.
    StateTooOld,
    /// Something that would be put back serves others as it is now.
    Contested,
    /// The owner declared the present content irreversible.
    Irreversible,
    /// A GitOps tool keeps the target like its repository, and would undo a rollback.
    GitOwned,
    /// The target is paused by someone else: hands off.
    PausedByOther,
    /// The same remedy was tried for the same evidence.
    AlreadyTried,
    /// As many attempts were made as the policy allows.
    AttemptsExhausted,
    /// The last action on this target was too recent.
    Cooldown,
    /// The mode is Observe: recorded what would be done.
    ObserveOnly,
    /// The mode is Recommend: waiting for a person's approval of exactly this plan.
    AwaitingApproval,
    /// A person rejected the plan.
    Rejected,
    // ---- of an outcome
    /// Verified: back in the stable state, for the whole window, from fresh facts.
    Verified,
    /// Acting: steps are outstanding.
    Acting,
    /// Acted; the proof is still running.
    Verifying,
    /// Traffic is on the standby until home is repaired and verified.
    OnStandby,
    /// Not verified within the objective.
    VerificationTimedOut,
    /// The API server refused a write of the plan.
    WriteRefused,
    /// The symptom went away before anything was done.
    HealedItself,
    /// A person or a pipeline changed the target meanwhile; we let go.
    Superseded,
    /// A person asked to abort.
    AbortedByUser,
    /// The policy was deleted; we let go.
    PolicyDeleted,
    /// The target was deleted, or replaced by another of the same name.
    TargetGone,
    // ---- of a budget
    /// No storm: the brake is off.
    BrakeOff,
    /// Fewer targets are under action than may be.
    WithinBudget,
    // ---- of nodes
    /// All bad pods are on one node that is dead, or that makes others ill as well: keep pods away from it.
    NodeIsolated,
    /// All bad pods are on several nodes of one zone: no node is touched.
    ZoneSuspected,
    /// Most nodes are not ready: nothing is concluded from that.
    MostNodesLost,
    /// As many nodes are cordoned by us as the RecoveryBudget allows.
    NodesExhausted,
    /// No other node would be left that pods can be placed on.
    LastSchedulableNode,
    // ---- of security
    /// Going back would allow something that was forbidden since; a person has to approve that.
    SecurityLoosened,
    /// Going back would run an image below a floor that the policy declares.
    BelowFloor,
    // ---- of a course
    /// After everything was done the drift grows: what was done does not help.
    Diverging,
    // ---- of a deletion
    /// The target itself was deleted, and its policy was not.
    TargetDeleted,
    /// The deletion looks meant: it is not undone.
    DeletionIntended,
    // ---- of a failover
    /// Fewer pods of the standby are ready than it needs to take over (`failover.minCapacity`).
    StandbyTooSmall,
    /// The standby shares with the target what most likely broke it, and would break as well.
    StandbyNotIndependent,
    /// Home failed again after traffic had returned: it is on the standby once more, until a person says otherwise.
    HomeBrokeAgain,
    /// The standby gets worse under the load, and home cannot take it back.
    StandbyOverloaded,
    // ---- of owners
    /// What keeps the object like its repository put back what we restored: it has to be changed there.
    RevertedByGitOps,
    // ---- of isolation
    /// What was isolated is seen to be out of the way.
    IsolationProven,
    /// Something was isolated, and it is not seen to be out of the way.
    Unproven,
    /// What was isolated was let go, or is gone.
    Released,
    /// Something is isolated, switched or stopped by us, and no Recovery remembers why.
    FenceForgotten,
    // ---- of configuration
    /// Bad pods started before something changed that they read only then: they are made anew.
    PodsRenewed,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
