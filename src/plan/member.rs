//! The kinds that can be members of a closure: what they are called, what of them decides behaviour, and in which order
//! they are put back.
//!
//! A closed set, used by `observe`, `plan` and `act` alike. Nothing here looks at an object.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::policy::IncludedKind;
use crate::api::stable_state::Group;

/// A kind of member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberKind {
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
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Secret.
    Secret,
    /// `apps/v1` Deployment.
    #[default]
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget,
    /// `autoscaling/v2` HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// `v1` Service.
    Service,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `gateway.networking.k8s.io/v1` HTTPRoute, which not every cluster knows.
    HttpRoute,
    /// `gateway.networking.k8s.io/v1` GRPCRoute, which not every cluster knows.
    GrpcRoute,
    /// `v1` Namespace: the one that everything else is in. It is never created nor deleted.
    Namespace,
    /// `rbac.authorization.k8s.io/v1` ClusterRole.
    ClusterRole,
    /// `rbac.authorization.k8s.io/v1` ClusterRoleBinding.
    ClusterRoleBinding,
    /// `scheduling.k8s.io/v1` PriorityClass.
    PriorityClass,
}

/// Where in an object a part of its content lies: keys from the root.
pub type Part = &'static [&'static str];

impl MemberKind {
    /// Every kind, in the order in which members are put back: what is needed first goes first.
    pub const ALL: [Self; 21] = [
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::ResourceQuota,
        Self::LimitRange,
        Self::NetworkPolicy,
        Self::ConfigMap,
        Self::Secret,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::Service,
        Self::Ingress,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::Namespace,
        Self::ClusterRole,
        Self::ClusterRoleBinding,
        Self::PriorityClass,
    ];

    /// The kind of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name, as in `kind:`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Role => "Role",
            Self::RoleBinding => "RoleBinding",
            Self::ResourceQuota => "ResourceQuota",
            Self::LimitRange => "LimitRange",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::Service => "Service",
            Self::Ingress => "Ingress",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::Namespace => "Namespace",
            Self::ClusterRole => "ClusterRole",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::PriorityClass => "PriorityClass",
        }
    }

    /// Its resource name: plural and lower case.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceaccounts",
            Self::Role => "roles",
            Self::RoleBinding => "rolebindings",
            Self::ResourceQuota => "resourcequotas",
            Self::LimitRange => "limitranges",
            Self::NetworkPolicy => "networkpolicies",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::PodDisruptionBudget => "poddisruptionbudgets",
            Self::HorizontalPodAutoscaler => "horizontalpodautoscalers",
            Self::Service => "services",
            Self::Ingress => "ingresses",
            Self::HttpRoute => "httproutes",
            Self::GrpcRoute => "grpcroutes",
            Self::Namespace => "namespaces",
            Self::ClusterRole => "clusterroles",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::PriorityClass => "priorityclasses",
        }
    }

    /// Its `apiVersion`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Role | Self::RoleBinding | Self::ClusterRole | Self::ClusterRoleBinding => {
                "rbac.authorization.k8s.io/v1"
            }
            Self::PriorityClass => "scheduling.k8s.io/v1",
            Self::NetworkPolicy | Self::Ingress => "networking.k8s.io/v1",
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::PodDisruptionBudget => "policy/v1",
            Self::HorizontalPodAutoscaler => "autoscaling/v2",
            Self::HttpRoute | Self::GrpcRoute => "gateway.networking.k8s.io/v1",
            Self::ServiceAccount
            | Self::ResourceQuota
            | Self::LimitRange
            | Self::ConfigMap
            | Self::Secret
            | Self::Service
            | Self::Namespace => "v1",
        }
    }

    /// Whether it can be a target.
    #[must_use]
    pub const fn workload(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::DaemonSet)
    }

    /// The part of the closure it belongs to; `None` for the target itself, which always belongs to it.
    #[must_use]
    pub const fn group(self) -> Option<Group> {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => None,
            Self::ConfigMap => Some(Group::ConfigMaps),
            Self::Secret => Some(Group::Secrets),
            Self::ServiceAccount => Some(Group::ServiceAccounts),
            Self::Service | Self::Ingress => Some(Group::Exposure),
            Self::HttpRoute | Self::GrpcRoute => Some(Group::Routes),
            Self::PodDisruptionBudget | Self::HorizontalPodAutoscaler => Some(Group::Scaling),
            Self::Role
            | Self::RoleBinding
            | Self::ResourceQuota
            | Self::LimitRange
            | Self::NetworkPolicy
            | Self::Namespace => Some(Group::GuardRails),
            Self::ClusterRole | Self::ClusterRoleBinding | Self::PriorityClass => Some(Group::Cluster),
        }
    }

    /// Whether it belongs to no namespace, so that it is never ours to write.
    #[must_use]
    pub const fn outside(self) -> bool {
        matches!(self, Self::ClusterRole | Self::ClusterRoleBinding | Self::PriorityClass)
    }

    /// Whether the target refers to it by name, so that its absence can be part of a state. The others attach
    /// themselves to the target; of those one that was added since is a difference.
    #[must_use]
    pub const fn referred_to(self) -> bool {
        self.workload()
            || matches!(
                self,
                Self::ConfigMap
                    | Self::Secret
                    | Self::ServiceAccount
                    | Self::Role
                    | Self::Namespace
                    | Self::ClusterRole
                    | Self::PriorityClass
            )
    }

    /// Whether a state keeps its content in an immutable copy of the same kind beside it, and not in its own record.
    #[must_use]
    pub const fn copied(self) -> bool {
        matches!(self, Self::ConfigMap | Self::Secret)
    }

    /// Whether one that was added since may be deleted to bring a state back. A Service, a route, a binding or a budget
    /// that somebody added takes nothing away from the target's pods.
    #[must_use]
    pub const fn removable(self) -> bool {
        matches!(self, Self::NetworkPolicy | Self::ResourceQuota | Self::LimitRange | Self::HorizontalPodAutoscaler)
    }

    /// The parts of an object of this kind that are recorded, compared and restored.
    ///
    /// Of a workload, `replicas` belongs to people and autoscalers, and `selector` cannot change; `paused`, `partition`
    /// and a DaemonSet's kind of update are how a freeze works. Of a Service, addresses are assigned by the API server. Of a ServiceAccount, annotations count
    /// where they are an identity outside of the cluster. Of a Namespace, what Pod Security admits.
    #[must_use]
    pub const fn parts(self) -> &'static [Part] {
        match self {
            Self::Deployment => &[&["spec", "template"], &["spec", "strategy"], &["spec", "minReadySeconds"]],
            Self::StatefulSet => &[
                &["spec", "template"],
                &["spec", "updateStrategy", "type"],
                &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"],
                &["spec", "minReadySeconds"],
            ],
            Self::DaemonSet => {
                &[&["spec", "template"], &["spec", "updateStrategy", "rollingUpdate"], &["spec", "minReadySeconds"]]
            }
            Self::ConfigMap => &[&["data"], &["binaryData"]],
            Self::Secret => &[&["data"], &["type"]],
            Self::ServiceAccount => &[
                &["automountServiceAccountToken"],
                &["imagePullSecrets"],
                &["metadata", "annotations", "azure.workload.identity/client-id"],
                &["metadata", "annotations", "eks.amazonaws.com/role-arn"],
                &["metadata", "annotations", "iam.gke.io/gcp-service-account"],
            ],
            Self::Service => &[
                &["spec", "type"],
                &["spec", "selector"],
                &["spec", "ports"],
                &["spec", "internalTrafficPolicy"],
                &["spec", "externalTrafficPolicy"],
                &["spec", "trafficDistribution"],
                &["spec", "sessionAffinity"],
                &["spec", "sessionAffinityConfig"],
                &["spec", "publishNotReadyAddresses"],
                &["spec", "externalName"],
                &["spec", "externalIPs"],
                &["spec", "loadBalancerSourceRanges"],
            ],
            Self::Role | Self::ClusterRole => &[&["rules"]],
            Self::PriorityClass => &[&["value"], &["preemptionPolicy"]],
            Self::RoleBinding | Self::ClusterRoleBinding => &[&["subjects"], &["roleRef"]],
            Self::Namespace => &[
                &["metadata", "labels", "pod-security.kubernetes.io/enforce"],
                &["metadata", "labels", "pod-security.kubernetes.io/enforce-version"],
                &["metadata", "labels", "pod-security.kubernetes.io/audit"],
                &["metadata", "labels", "pod-security.kubernetes.io/audit-version"],
                &["metadata", "labels", "pod-security.kubernetes.io/warn"],
                &["metadata", "labels", "pod-security.kubernetes.io/warn-version"],
            ],
            Self::ResourceQuota
            | Self::LimitRange
            | Self::NetworkPolicy
            | Self::PodDisruptionBudget
            | Self::HorizontalPodAutoscaler
            | Self::Ingress
            | Self::HttpRoute
            | Self::GrpcRoute => &[&["spec"]],
        }
    }
}

impl From<IncludedKind> for MemberKind {
    fn from(kind: IncludedKind) -> Self {
        match kind {
            IncludedKind::ConfigMap => Self::ConfigMap,
            IncludedKind::Secret => Self::Secret,
            IncludedKind::ServiceAccount => Self::ServiceAccount,
            IncludedKind::Service => Self::Service,
            IncludedKind::Ingress => Self::Ingress,
            IncludedKind::NetworkPolicy => Self::NetworkPolicy,
            IncludedKind::Role => Self::Role,
            IncludedKind::RoleBinding => Self::RoleBinding,
        }
    }
}

impl fmt::Display for MemberKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_and_listed_in_its_own_order() {
        for kind in MemberKind::ALL {
            assert_eq!(MemberKind::of(kind.name()), Some(kind));
        }
        assert!(MemberKind::ALL.is_sorted());
        assert_eq!(MemberKind::of("Pod"), None);
    }

    #[test]
    fn nothing_that_is_referred_to_by_name_is_removed() {
        assert!(MemberKind::ALL.into_iter().all(|kind| !(kind.referred_to() && kind.removable())));
    }
}
