//! The test cluster from the command line: `cluster build`, `cluster up`, `cluster down`, `cluster path <tool>`.
//!
//! `cluster up --real` starts one with real nodes (Linux, root). Its pods run images that were loaded: the busybox
//! `homeostat.test/busybox:1` is, and `up` says how to load others.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use cluster::{Cluster, Image, Options, binaries};

#[derive(Parser)]
#[command(about = "A real Kubernetes control plane, with fake nodes on loopback or with real nodes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the programs of clusters into the cache, unless they are there: the control plane, kubectl, helm and, where
    /// real nodes are possible, what those need
    Build,
    /// Start a cluster that goes on in the background
    Up {
        /// Names the cluster; several may run at once
        #[arg(long, default_value = "default", value_parser = parse_name)]
        name: String,
        /// Number of fake nodes
        #[arg(long, default_value_t = 3, conflicts_with = "real")]
        nodes: usize,
        /// Have real nodes, which run containers: two, or as many as given. Needs Linux and root
        #[arg(long, num_args = 0..=1, default_missing_value = "2", value_name = "NODES")]
        real: Option<usize>,
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

/// The image that a hands-on cluster with real nodes has.
const BUSYBOX: &str = "homeostat.test/busybox:1";

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
            println!("{}", binaries::helm().await?.display());
            println!("{}", binaries::kubernetes().await?.display());
            match cluster::why_no_real_nodes() {
                Some(reason) => eprintln!("without what real nodes need: {reason}"),
                None => println!("{}", binaries::node().await?.display()),
            }
        }
        Command::Up { name, nodes, real } => {
            let (nodes, real_nodes) = real.map_or((nodes, 0), |real| (0, real));
            up(Options { nodes, real_nodes, ..Options::hands_on(&name) }).await?;
        }
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

async fn up(options: Options) -> Result<()> {
    let name = options.name.clone();
    let kubeconfig = match cluster::running(&name) {
        Some(kubeconfig) => {
            eprintln!("cluster {name} is already up");
            kubeconfig
        }
        None => {
            let cluster = Cluster::start(options).await?;
            eprintln!("cluster {name} is up, logs in {}", cluster.run_directory().display());
            if let Some(namespace) = cluster.kernel_name() {
                cluster.load_image(&Image::busybox(BUSYBOX)?).await?;
                eprintln!("pods may use the image {BUSYBOX}; there is no registry");
                eprintln!("pod and service addresses answer in its network: ip netns exec {namespace} curl …");
            }
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
