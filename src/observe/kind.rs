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
    /// `gateway.networking.k8s.io/v1` HTTPRoute. Only where routes of the Gateway API are looked at.
    HttpRoute,
    /// `gateway.networking.k8s.io/v1` GRPCRoute. Only where routes of the Gateway API are looked at.
    GrpcRoute,
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
    /// `v1` Node, which belongs to no namespace. Only where the operator may read them.
    Node,
    /// `batch/v1` CronJob. Only where the operator may stop neighbours.
    CronJob,
    /// `v1` Namespace: one that is watched is seen as an object within itself. Only the operator watches it; a person who
    /// looks at one namespace often has no right to list them.
    Namespace,
    /// `rbac.authorization.k8s.io/v1` ClusterRole. This and the following belong to no namespace, and are observed only
    /// where they may be members.
    ClusterRole,
    /// `rbac.authorization.k8s.io/v1` ClusterRoleBinding.
    ClusterRoleBinding,
    /// `scheduling.k8s.io/v1` PriorityClass.
    PriorityClass,
}

impl Kind {
    /// Every kind that is observed.
    pub const ALL: [Self; 31] = [
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
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::EndpointSlice,
        Self::RecoveryPolicy,
        Self::StableState,
        Self::Recovery,
        Self::RecoveryBudget,
        Self::Node,
        Self::CronJob,
        Self::Namespace,
        Self::ClusterRole,
        Self::ClusterRoleBinding,
        Self::PriorityClass,
    ];

    /// Those that can be members and belong to no namespace.
    pub const OUTSIDE: [Self; 3] = [Self::ClusterRole, Self::ClusterRoleBinding, Self::PriorityClass];

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
            Self::HttpRoute => MemberKind::HttpRoute,
            Self::GrpcRoute => MemberKind::GrpcRoute,
            Self::Namespace => MemberKind::Namespace,
            Self::ClusterRole => MemberKind::ClusterRole,
            Self::ClusterRoleBinding => MemberKind::ClusterRoleBinding,
            Self::PriorityClass => MemberKind::PriorityClass,
            Self::ReplicaSet
            | Self::ControllerRevision
            | Self::Pod
            | Self::EndpointSlice
            | Self::RecoveryPolicy
            | Self::StableState
            | Self::Recovery
            | Self::RecoveryBudget
            | Self::CronJob
            | Self::Node => return None,
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
            Self::Node => ("v1", "Node", "nodes"),
            Self::CronJob => ("batch/v1", "CronJob", "cronjobs"),
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
        matches!(
            self,
            Self::RecoveryBudget | Self::Node | Self::ClusterRole | Self::ClusterRoleBinding | Self::PriorityClass
        )
    }

    /// Whether it is observed only where that is asked for. Such a kind blinds only those who need it.
    pub(super) const fn optional(self) -> bool {
        matches!(self, Self::Secret | Self::Node | Self::CronJob)
    }

    /// Whether a cluster need not know it: without its definition there are no objects, and nothing is amiss.
    pub(super) const fn may_be_unknown(self) -> bool {
        matches!(self, Self::HttpRoute | Self::GrpcRoute)
    }

    /// How many objects are asked for at once. Kinds that carry whole files come in smaller pages: only a digest of
    /// them is kept, and a page must not be what sets the size of the process.
    pub(super) const fn page(self) -> usize {
        match self {
            Self::ConfigMap | Self::Secret | Self::StableState | Self::ControllerRevision | Self::Node => 100,
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
            Self::Namespace(namespace) if kind != Kind::Namespace => {
                format!("/{root}/{version}/namespaces/{namespace}/{plural}")
            }
            _ => format!("/{root}/{version}/{plural}"),
        }
    }

    /// What chooses the objects of `kind` in that collection, as a query parameter; empty for all of them.
    pub(super) fn selector(&self, kind: Kind) -> String {
        match self {
            Self::Namespace(namespace) if kind == Kind::Namespace => {
                format!("&fieldSelector=metadata.name%3D{namespace}")
            }
            _ => String::new(),
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
        assert_eq!(
            shop.path(Kind::Namespace) + &shop.selector(Kind::Namespace),
            "/api/v1/namespaces&fieldSelector=metadata.name%3Dshop"
        );
        assert_eq!(shop.selector(Kind::Pod) + &Scope::All.selector(Kind::Namespace), "");
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
