//! Where an object lives: the closed set of kinds that we read and write, and their paths.

use std::fmt;

use super::Error;
use crate::api::{GROUP, VERSION};
use crate::plan::member::MemberKind;

/// The kinds that are read or written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A kind that can be a member of a closure.
    Member(MemberKind),
    Pod,
    /// In no namespace.
    Node,
    PersistentVolumeClaim,
    CronJob,
    RecoveryPolicy,
    Recovery,
    StableState,
    RecoveryBudget,
}

impl Kind {
    pub(super) const DEPLOYMENT: Self = Self::Member(MemberKind::Deployment);
    pub(super) const CONFIG_MAP: Self = Self::Member(MemberKind::ConfigMap);
    pub(super) const SECRET: Self = Self::Member(MemberKind::Secret);
    pub(super) const WORKLOADS: [Self; 3] =
        [Self::DEPLOYMENT, Self::Member(MemberKind::StatefulSet), Self::Member(MemberKind::DaemonSet)];
    pub(super) const NEIGHBOURS: [Self; 2] = [Self::DEPLOYMENT, Self::CronJob];
    pub(super) const AUTOSCALER: Self = Self::Member(MemberKind::HorizontalPodAutoscaler);
    pub(super) const SERVICE: Self = Self::Member(MemberKind::Service);
    pub(super) const ROUTES: [Self; 2] = [Self::Member(MemberKind::HttpRoute), Self::Member(MemberKind::GrpcRoute)];

    /// The kind of an object that a step may name.
    pub(super) fn of_step(kind: &str) -> Result<Self, Error> {
        if let Some(own) = [Self::Pod, Self::Node].into_iter().find(|own| own.name() == kind) {
            return Ok(own);
        }
        if kind == Self::CronJob.name() {
            return Ok(Self::CronJob);
        }
        let unknown = || Error::Invalid(format!("a step names kind {kind:?}, which this version never writes"));
        MemberKind::of(kind).map(Self::Member).ok_or_else(unknown)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Member(member) => member.name(),
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::CronJob => "CronJob",
            Self::RecoveryPolicy => "RecoveryPolicy",
            Self::Recovery => "Recovery",
            Self::StableState => "StableState",
            Self::RecoveryBudget => "RecoveryBudget",
        }
    }

    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Member(member) => member.plural(),
            Self::Pod => "pods",
            Self::Node => "nodes",
            Self::PersistentVolumeClaim => "persistentvolumeclaims",
            Self::CronJob => "cronjobs",
            Self::RecoveryPolicy => "recoverypolicies",
            Self::Recovery => "recoveries",
            Self::StableState => "stablestates",
            Self::RecoveryBudget => "recoverybudgets",
        }
    }

    /// The path under which all objects of the kind in `namespace` live.
    pub(super) fn collection(self, namespace: &str) -> Result<String, Error> {
        let plural = self.plural();
        if self == Self::RecoveryBudget {
            return Ok(format!("/apis/{GROUP}/{VERSION}/{plural}"));
        }
        if matches!(self, Self::Node | Self::Member(MemberKind::Namespace)) {
            return Ok(format!("/api/v1/{plural}"));
        }
        if let Self::Member(member) = self
            && member.outside()
        {
            return Ok(format!("/apis/{}/{plural}", member.api_version()));
        }
        let namespace = segment(namespace)?;
        let version = match self {
            Self::Member(member) => member.api_version(),
            Self::Pod | Self::Node | Self::PersistentVolumeClaim => "v1",
            Self::CronJob => "batch/v1",
            Self::RecoveryPolicy | Self::Recovery | Self::StableState | Self::RecoveryBudget => {
                return Ok(format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}"));
            }
        };
        let root = if version.contains('/') { "apis" } else { "api" };
        Ok(format!("/{root}/{version}/namespaces/{namespace}/{plural}"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One object, by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    pub(super) kind: Kind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// The ServiceAccount of the namespace in whose name it is written; `None` for our own.
    pub(super) account: Option<&'a str>,
}

impl<'a> Address<'a> {
    pub(super) fn new(kind: Kind, namespace: &'a str, name: &'a str) -> Self {
        Self { kind, namespace, name, account: None }
    }

    pub(super) fn path(&self) -> Result<String, Error> {
        Ok(format!("{}/{}", self.kind.collection(self.namespace)?, segment(self.name)?))
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
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
