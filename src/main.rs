//! The command line: parse, choose, exit code. Everything else is in the library.

use clap::{Parser, Subcommand};
use homeostat::settings::{LogFormat, Settings};
use homeostat::{cli, client, controller, telemetry};

/// Brings Kubernetes workloads back to a verified stable state, or holds and says why.
#[derive(Parser)]
#[command(version, about)]
struct Homeostat {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Controller(Box<Settings>),
    /// Print the CustomResourceDefinitions.
    Crds(cli::crds::Crds),
    /// Show what would be done now for a policy, and why.
    Plan(cli::plan::Plan),
    /// List stable states, and show what differs between two of them, or between one and what is live.
    States(cli::states::States),
    /// Check that the installation is whole.
    Check(cli::check::Check),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Homeostat::parse().command {
        Command::Controller(settings) => {
            telemetry::start(settings.log_format, &settings.log_level)?;
            controller::run(*settings).await
        }
        Command::Crds(args) => cli::crds::run(&args),
        Command::Plan(args) => {
            telemetry::start(LogFormat::Text, "warn")?;
            cli::plan::run(&args).await
        }
        Command::States(args) => {
            telemetry::start(LogFormat::Text, "warn")?;
            cli::states::run(&args).await
        }
        Command::Check(args) => cli::check::run(&args, client::connect().await?).await,
    }
}
