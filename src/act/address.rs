//! Where an object lives: the closed set of kinds that we read and write, and their paths.

use std::fmt;

use super::Error;
use crate::api::{GROUP, VERSION};

/// The kinds that are read or written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    ConfigMap,
    Pod,
    Service,
    Secret,
    RecoveryPolicy,
    Recovery,
    StableState,
}

impl Kind {
    /// The kind of an object that a step may name.
    pub(super) fn of_step(kind: &str) -> Result<Self, Error> {
        match kind {
            "Deployment" => Ok(Self::Deployment),
            "ConfigMap" => Ok(Self::ConfigMap),
            "Pod" => Ok(Self::Pod),
            "Service" => Ok(Self::Service),
            other => Err(Error::Invalid(format!("a step names kind {other:?}, which this version never writes"))),
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::ConfigMap => "configmaps",
            Self::Pod => "pods",
            Self::Service => "services",
            Self::Secret => "secrets",
            Self::RecoveryPolicy => "recoverypolicies",
            Self::Recovery => "recoveries",
            Self::StableState => "stablestates",
        }
    }

    /// The path under which all objects of the kind in `namespace` live.
    pub(super) fn collection(self, namespace: &str) -> Result<String, Error> {
        let namespace = segment(namespace)?;
        let plural = self.plural();
        Ok(match self {
            Self::Deployment => format!("/apis/apps/v1/namespaces/{namespace}/{plural}"),
            Self::ConfigMap | Self::Pod | Self::Service | Self::Secret => {
                format!("/api/v1/namespaces/{namespace}/{plural}")
            }
            Self::RecoveryPolicy | Self::Recovery | Self::StableState => {
                format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}")
            }
        })
    }
}

/// One object, by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    pub(super) kind: Kind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Address<'a> {
    pub(super) fn new(kind: Kind, namespace: &'a str, name: &'a str) -> Self {
        Self { kind, namespace, name }
    }

    pub(super) fn path(&self) -> Result<String, Error> {
        Ok(format!("{}/{}", self.kind.collection(self.namespace)?, segment(self.name)?))
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A name as one segment of a path. Names come from records in the cluster; none may lead anywhere else.
fn segment(name: &str) -> Result<&str, Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:_".contains(&byte);
    if name.is_empty() || name == "." || name == ".." || !name.bytes().all(allowed) {
        return Err(Error::Invalid(format!("{name:?} is not the name of an object")));
    }
    Ok(name)
}
