//! Arguments and environment of the operator, parsed once. Nothing else reads the environment.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

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

fn between(text: &str, shortest: Duration, longest: Duration) -> Result<Duration, String> {
    let duration: Duration = serde_json::from_value(text.into()).map_err(|error| error.to_string())?;
    match (shortest..=longest).contains(&duration) {
        true => Ok(duration),
        false => Err(format!("write a duration from {shortest} to {longest}")),
    }
}
