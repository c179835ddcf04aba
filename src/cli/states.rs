//! `homeostat states`: which stable states there are and which one would be restored; and what differs between two of
//! them, or between one and what is live. In the current cluster, or offline in a folder of recorded objects. It reads
//! and compares; it never writes, and shows nothing of what a Secret holds.

mod diff;
mod list;
mod source;
mod text;

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Output, eyes};
use crate::clock;
use source::Source;

/// Arguments of `homeostat states`.
#[derive(Args, Clone, Debug)]
pub struct States {
    /// Namespace to look at. Default: that of the kubeconfig; with --facts, `default`.
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Only the states of this policy.
    #[arg(short, long)]
    policy: Option<String>,
    /// Folder of recorded objects to use instead of the cluster: what `kubectl get … -o yaml` wrote.
    #[arg(long, value_name = "FOLDER", global = true)]
    facts: Option<PathBuf>,
    /// Namespace of the operator, where the key lies that tells whether a stable state is genuine.
    #[arg(long, default_value = "homeostat-system", global = true)]
    operator_namespace: String,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "text", global = true)]
    output: Output,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Show what differs, place by place. What a Secret holds is never shown, only that it differs.
    Diff(Diff),
}

/// Arguments of `homeostat states diff`.
#[derive(Args, Clone, Debug)]
struct Diff {
    /// A StableState.
    from: String,
    /// Another one.
    to: Option<String>,
    /// Compare with what is live now, as the policy looks at it.
    #[arg(long, conflicts_with = "to")]
    live: bool,
}

/// Prints the list, or the difference.
///
/// # Errors
/// If the cluster or the folder cannot be read, or a state that is named does not exist.
pub async fn run(args: &States) -> anyhow::Result<()> {
    let namespace = match (&args.namespace, &args.facts) {
        (Some(namespace), _) => namespace.clone(),
        (None, Some(_)) => "default".to_owned(),
        (None, None) => eyes::default_namespace().await?,
    };
    let source = match &args.facts {
        Some(folder) => Source::folder(folder, namespace)?,
        None => Source::cluster(namespace, &args.operator_namespace).await?,
    };
    match &args.command {
        None => print(args.output, &list::of(&source, args.policy.as_deref(), clock::now()).await?),
        Some(Command::Diff(diff)) => {
            let found = match &diff.to {
                Some(to) => diff::of_states(&source, &diff.from, to).await?,
                None if diff.live => diff::from_live(&source, &diff.from).await?,
                None => bail!("name another StableState to compare {:?} with, or give --live", diff.from),
            };
            print(args.output, &found)
        }
    }
}

fn print(output: Output, report: &(impl Display + Serialize)) -> anyhow::Result<()> {
    match output {
        Output::Text => super::print(&report.to_string()),
        Output::Json => super::print(&format!("{}\n", serde_json::to_string_pretty(report)?)),
    }
}
