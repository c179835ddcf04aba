//! The test cluster from the command line: `cluster build`, `cluster up`, `cluster down`, `cluster path <tool>`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use cluster::{Cluster, Options, binaries};

#[derive(Parser)]
#[command(about = "A real Kubernetes control plane with fake nodes, on loopback")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the control plane, kubectl and helm into the cache, unless they are there
    Build,
    /// Start a cluster that goes on in the background
    Up {
        /// Names the cluster; several may run at once
        #[arg(long, default_value = "default", value_parser = parse_name)]
        name: String,
        /// Number of fake nodes
        #[arg(long, default_value_t = 3)]
        nodes: usize,
    },
    /// Stop it
    Down {
        /// Names the cluster
        #[arg(long, default_value = "default", value_parser = parse_name)]
        name: String,
    },
    /// Print where a tool is, after building it if needed
    Path {
        /// Which tool
        tool: Tool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Tool {
    Kubectl,
    Helm,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        // The chain of causes, and no backtrace: these errors are for people.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Build => {
            println!("{}", binaries::kubernetes().await?.display());
            println!("{}", binaries::helm().await?.display());
        }
        Command::Up { name, nodes } => up(&name, nodes).await?,
        Command::Down { name } => match cluster::down(&name)? {
            0 => println!("cluster {name}: nothing ran"),
            count => println!("cluster {name}: {count} processes stopped"),
        },
        Command::Path { tool: Tool::Kubectl } => {
            println!("{}", binaries::kubernetes().await?.join("kubectl").display())
        }
        Command::Path { tool: Tool::Helm } => println!("{}", binaries::helm().await?.join("helm").display()),
    }
    Ok(())
}

async fn up(name: &str, nodes: usize) -> Result<()> {
    let kubeconfig = match cluster::running(name) {
        Some(kubeconfig) => {
            eprintln!("cluster {name} is already up");
            kubeconfig
        }
        None => {
            let cluster = Cluster::start(Options { nodes, ..Options::hands_on(name) }).await?;
            eprintln!("cluster {name} is up, logs in {}", cluster.run_directory().display());
            cluster.kubeconfig().to_owned()
        }
    };
    eprintln!("stop it with: cargo run -p cluster -- down --name {name}");
    println!("export KUBECONFIG='{}'", kubeconfig.display());
    Ok(())
}

/// The name becomes part of a path that is removed later.
fn parse_name(name: &str) -> Result<String, String> {
    let good = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(good) {
        return Err("use 1 to 40 lower-case letters, digits and hyphens".into());
    }
    Ok(name.to_owned())
}
