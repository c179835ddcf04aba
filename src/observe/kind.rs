//! The kinds that are observed, and where they are found.
//!
//! This module only knows names and paths. It must not know what a kind's objects look like.

use std::fmt;

use serde_json::Value;

const OURS: &str = "homeostat.dev/v1alpha1";
const DISCOVERY: &str = "discovery.k8s.io/v1";

/// A kind that is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` ReplicaSet.
    ReplicaSet,
    /// `v1` Pod.
    Pod,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// Our RecoveryPolicy.
    RecoveryPolicy,
    /// Our StableState.
    StableState,
    /// Our Recovery.
    Recovery,
}

impl Kind {
    /// Every kind that is observed.
    pub const ALL: [Self; 9] = [
        Self::Deployment,
        Self::ReplicaSet,
        Self::Pod,
        Self::ConfigMap,
        Self::Service,
        Self::EndpointSlice,
        Self::RecoveryPolicy,
        Self::StableState,
        Self::Recovery,
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

    /// Its name, as in `kind:`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::Pod => "Pod",
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::RecoveryPolicy => "RecoveryPolicy",
            Self::StableState => "StableState",
            Self::Recovery => "Recovery",
        }
    }

    /// Its resource name: plural and lower case.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::ReplicaSet => "replicasets",
            Self::Pod => "pods",
            Self::ConfigMap => "configmaps",
            Self::Service => "services",
            Self::EndpointSlice => "endpointslices",
            Self::RecoveryPolicy => "recoverypolicies",
            Self::StableState => "stablestates",
            Self::Recovery => "recoveries",
        }
    }

    const fn api_version(self) -> &'static str {
        match self {
            Self::Deployment | Self::ReplicaSet => "apps/v1",
            Self::Pod | Self::ConfigMap | Self::Service => "v1",
            Self::EndpointSlice => DISCOVERY,
            Self::RecoveryPolicy | Self::StableState | Self::Recovery => OURS,
        }
    }

    /// How many objects are asked for at once. Kinds that carry whole files come in smaller pages: only a digest of
    /// them is kept, and a page must not be what sets the size of the process.
    pub(super) const fn page(self) -> usize {
        match self {
            Self::ConfigMap | Self::StableState => 100,
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
