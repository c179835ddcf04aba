//! The kinds that are observed, and where they are found.
//!
//! This module only knows names and paths. It must not know what a kind's objects look like.

use std::fmt;

use serde_json::Value;

use crate::plan::member::MemberKind;

const OURS: &str = "homeostat.dev/v1alpha1";

/// A kind that is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `apps/v1` ReplicaSet.
    ReplicaSet,
    /// `apps/v1` ControllerRevision.
    ControllerRevision,
    /// `v1` Pod.
    Pod,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Secret. Only where the operator may read them.
    Secret,
    /// `v1` Service.
    Service,
    /// `v1` ServiceAccount.
    ServiceAccount,
    /// `rbac.authorization.k8s.io/v1` Role.
    Role,
    /// `rbac.authorization.k8s.io/v1` RoleBinding.
    RoleBinding,
    /// `v1` ResourceQuota.
    ResourceQuota,
    /// `v1` LimitRange.
    LimitRange,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget,
    /// `autoscaling/v2` HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// Our RecoveryPolicy.
    RecoveryPolicy,
    /// Our StableState.
    StableState,
    /// Our Recovery.
    Recovery,
    /// Our RecoveryBudget, which belongs to no namespace.
    RecoveryBudget,
}

impl Kind {
    /// Every kind that is observed.
    pub const ALL: [Self; 23] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::ControllerRevision,
        Self::Pod,
        Self::ConfigMap,
        Self::Secret,
        Self::Service,
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::ResourceQuota,
        Self::LimitRange,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::Ingress,
        Self::EndpointSlice,
        Self::RecoveryPolicy,
        Self::StableState,
        Self::Recovery,
        Self::RecoveryBudget,
    ];

    /// The kind with this `apiVersion` and `kind`, if it is observed. Other groups use the same names.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.api_version() == api_version && known.name() == kind)
    }

    /// The kind that an object says it is of, if it is observed.
    #[must_use]
    pub fn of_object(object: &Value) -> Option<Self> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        Self::of(text("apiVersion"), text("kind"))
    }

    /// As a member of closures, if objects of this kind can be one.
    #[must_use]
    pub const fn member(self) -> Option<MemberKind> {
        Some(match self {
            Self::Deployment => MemberKind::Deployment,
            Self::StatefulSet => MemberKind::StatefulSet,
            Self::DaemonSet => MemberKind::DaemonSet,
            Self::ConfigMap => MemberKind::ConfigMap,
            Self::Secret => MemberKind::Secret,
            Self::Service => MemberKind::Service,
            Self::ServiceAccount => MemberKind::ServiceAccount,
            Self::Role => MemberKind::Role,
            Self::RoleBinding => MemberKind::RoleBinding,
            Self::ResourceQuota => MemberKind::ResourceQuota,
            Self::LimitRange => MemberKind::LimitRange,
            Self::NetworkPolicy => MemberKind::NetworkPolicy,
            Self::PodDisruptionBudget => MemberKind::PodDisruptionBudget,
            Self::HorizontalPodAutoscaler => MemberKind::HorizontalPodAutoscaler,
            Self::Ingress => MemberKind::Ingress,
            Self::ReplicaSet
            | Self::ControllerRevision
            | Self::Pod
            | Self::EndpointSlice
            | Self::RecoveryPolicy
            | Self::StableState
            | Self::Recovery
            | Self::RecoveryBudget => return None,
        })
    }

    /// The kind of these members.
    #[must_use]
    pub fn of_member(member: MemberKind) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.member() == Some(member))
    }

    /// Its `apiVersion`, its name as in `kind:`, and its resource name: plural and lower case.
    const fn names(self) -> (&'static str, &'static str, &'static str) {
        if let Some(member) = self.member() {
            return (member.api_version(), member.name(), member.plural());
        }
        match self {
            Self::ReplicaSet => ("apps/v1", "ReplicaSet", "replicasets"),
            Self::ControllerRevision => ("apps/v1", "ControllerRevision", "controllerrevisions"),
            Self::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
            Self::RecoveryPolicy => (OURS, "RecoveryPolicy", "recoverypolicies"),
            Self::StableState => (OURS, "StableState", "stablestates"),
            Self::Recovery => (OURS, "Recovery", "recoveries"),
            Self::RecoveryBudget => (OURS, "RecoveryBudget", "recoverybudgets"),
            _ => ("v1", "Pod", "pods"),
        }
    }

    /// Its name, as in `kind:`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.names().1
    }

    /// Its resource name: plural and lower case.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.names().2
    }

    const fn api_version(self) -> &'static str {
        self.names().0
    }

    /// Whether its objects belong to no namespace: they are looked for in the whole cluster, whatever is watched.
    pub(super) const fn of_the_cluster(self) -> bool {
        matches!(self, Self::RecoveryBudget)
    }

    /// How many objects are asked for at once. Kinds that carry whole files come in smaller pages: only a digest of
    /// them is kept, and a page must not be what sets the size of the process.
    pub(super) const fn page(self) -> usize {
        match self {
            Self::ConfigMap | Self::Secret | Self::StableState | Self::ControllerRevision => 100,
            _ => 500,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where to look: in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace.
    All,
    /// This one only.
    Namespace(String),
}

impl Scope {
    pub(super) fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(own) => own == namespace,
        }
    }

    /// The path of the collection of `kind`.
    pub(super) fn path(&self, kind: Kind) -> String {
        let (version, plural) = (kind.api_version(), kind.plural());
        let root = if version.contains('/') { "apis" } else { "api" };
        match self {
            Self::All => format!("/{root}/{version}/{plural}"),
            Self::Namespace(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all namespaces"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api_server() {
        assert_eq!(Scope::All.path(Kind::Pod), "/api/v1/pods");
        let shop = Scope::Namespace("shop".into());
        assert_eq!(shop.path(Kind::Deployment), "/apis/apps/v1/namespaces/shop/deployments");
        assert_eq!(shop.path(Kind::Recovery), "/apis/homeostat.dev/v1alpha1/namespaces/shop/recoveries");
    }

    #[test]
    fn the_same_name_in_another_group_is_another_kind() {
        assert_eq!(Kind::of("v1", "Service"), Some(Kind::Service));
        assert_eq!(Kind::of("serving.knative.dev/v1", "Service"), None);
    }

    #[test]
    fn the_group_is_the_one_of_the_interface() {
        assert_eq!(OURS, format!("{}/{}", crate::api::GROUP, crate::api::VERSION));
    }
}
