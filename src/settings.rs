//! Arguments and environment of the operator, parsed once. Nothing else reads the environment.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use http::Uri;

use crate::api::{Duration, Mode};
use crate::leader;

/// Arguments of `homeostat controller`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Namespace to watch; may be repeated. Default: all namespaces.
    #[arg(long = "watch-namespace", value_name = "NAMESPACE")]
    pub watch_namespaces: Vec<String>,
    /// Namespace of the operator itself: of its Lease and its seal.
    #[arg(long, env = "HOMEOSTAT_NAMESPACE", default_value = "homeostat-system")]
    pub namespace: String,
    /// Who we are in the Lease; the name of the pod, so that a restarted container takes over at once.
    #[arg(long, env = "POD_NAME", default_value = "homeostat")]
    pub identity: String,
    /// Name of the Lease.
    #[arg(long, default_value = "homeostat")]
    pub lease_name: String,
    /// How long the Lease lasts without renewal. A successor waits that long after a crash.
    #[arg(long, default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,
    /// Name of the Secret that holds the key for sealing stable states.
    #[arg(long, default_value = "homeostat-seal")]
    pub seal_secret: String,
    /// The highest mode any policy may use.
    #[arg(long, default_value = "Enforce", value_parser = mode)]
    pub mode_ceiling: Mode,
    /// Begin nothing new anywhere, and release what is held.
    #[arg(long)]
    pub suspend: bool,
    /// How often it is asked whether each policy's stable state could still be restored, while nothing changes.
    #[arg(long, default_value = "5m", value_parser = rehearsal_interval)]
    pub rehearsal_interval: Duration,
    /// Look at Secrets, for policies that say so (`spec.closure.secrets`). Needs the rights of `capabilities.secrets`.
    #[arg(long)]
    pub secrets: bool,
    /// Look at nodes, to cordon bad ones where a RecoveryBudget allows it. Needs the rights of `capabilities.nodes`.
    #[arg(long)]
    pub nodes: bool,
    /// A metrics provider for checks, as NAME=ADDRESS: what answers the query API of Prometheus below the address. May be
    /// repeated.
    #[arg(long = "provider", value_name = "NAME=ADDRESS", value_parser = provider)]
    pub providers: Vec<Provider>,
    /// Stop neighbours, for policies that declare them (`spec.actions.isolate.neighbours`). Needs the rights of
    /// `capabilities.neighbours`.
    #[arg(long)]
    pub neighbours: bool,
    /// Make NetworkPolicies: for pods in quarantine, and to cut targets off from dependencies. Needs the rights of `capabilities.podNetwork`.
    #[arg(long)]
    pub pod_network: bool,
    /// Look at HTTPRoutes and GRPCRoutes of the Gateway API, where the cluster knows them. Needs the rights of
    /// `capabilities.gatewayApi`.
    #[arg(long)]
    pub gateway_api: bool,
    /// Compare members that belong to no namespace: ClusterRoles, ClusterRoleBindings, PriorityClasses. Needs the rights of
    /// `capabilities.clusterMembers`.
    #[arg(long)]
    pub cluster_members: bool,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub admin_address: SocketAddr,
    /// Form of the log lines.
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Which log lines: a level, or directives such as `homeostat=debug,kube=warn`.
    #[arg(long, env = "HOMEOSTAT_LOG", default_value = "info")]
    pub log_level: String,
}

impl Settings {
    /// Whose lease, and for how long.
    #[must_use]
    pub fn election(&self) -> leader::Settings {
        leader::Settings {
            namespace: self.namespace.clone(),
            name: self.lease_name.clone(),
            identity: self.identity.clone(),
            duration: self.lease_duration.get(),
        }
    }

    /// How often states are rehearsed; never where the ceiling allows no restore.
    #[must_use]
    pub fn rehearsals(&self) -> Option<Duration> {
        (self.mode_ceiling > Mode::Observe).then_some(self.rehearsal_interval)
    }
}

/// A metrics provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The name that checks give.
    pub name: String,
    /// Below it is the query API.
    pub address: Uri,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

fn mode(text: &str) -> Result<Mode, String> {
    serde_json::from_value(text.into()).map_err(|_| "write Observe, Recommend or Enforce".into())
}

/// Much shorter, and a slow answer of the API server would cost the lead; much longer, and a crash would.
fn lease_duration(text: &str) -> Result<Duration, String> {
    between(text, Duration::seconds(3), Duration::minutes(5))
}

/// Much shorter, and it would only be load; much longer, and it would be told too late.
fn rehearsal_interval(text: &str) -> Result<Duration, String> {
    between(text, Duration::seconds(1), Duration::minutes(24 * 60))
}

fn provider(text: &str) -> Result<Provider, String> {
    const FORM: &str = "write NAME=ADDRESS, as in main=http://prometheus.monitoring:9090";
    let (name, address) = text.split_once('=').ok_or(FORM)?;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(good) {
        return Err("a name has up to 63 lower-case letters, digits and hyphens".into());
    }
    let address: Uri = address.parse().map_err(|error| format!("{error}; {FORM}"))?;
    let known = matches!(address.scheme_str(), Some("http" | "https")) && address.authority().is_some();
    match known && address.query().is_none() {
        true => Ok(Provider { name: name.to_owned(), address }),
        false => Err(format!("the address has to begin with http:// or https:// and to have no query; {FORM}")),
    }
}

fn between(text: &str, shortest: Duration, longest: Duration) -> Result<Duration, String> {
    let duration: Duration = serde_json::from_value(text.into()).map_err(|error| error.to_string())?;
    match (shortest..=longest).contains(&duration) {
        true => Ok(duration),
        false => Err(format!("write a duration from {shortest} to {longest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_has_a_name_and_an_address() {
        let good = provider("main=https://metrics.example/prometheus").unwrap();
        assert_eq!((good.name.as_str(), good.address.path()), ("main", "/prometheus"));
        for bad in
            ["main", "Main=http://a", "=http://a", "main=a:9090", "main=ftp://a", "main=http://a/?query=b", "a=b c"]
        {
            assert!(provider(bad).is_err(), "{bad}");
        }
    }
}
