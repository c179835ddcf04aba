//! `make demo`: a bad release and the way back, on a real control plane; then a quarantined pod, and a failover with
//! its way home. Shows what happens as it happens. Exit code 0 only if verified.
//!
//! On Linux as root the nodes are real: Helm installs the operator as pods, a shop of three tiers falls ill for real
//! reasons, and a client counts its answers all the time. Elsewhere, or with HOMEOSTAT_REAL_NODES=0, they are fake
//! (kwok): the operator is a process of this machine, what a pod does is chosen by its image tag, and where a fake
//! kubelet cannot see a cause, the demo plays the pods' part.

mod application;
mod incidents;
mod picture;

#[path = "../../tests/e2e/story/mod.rs"]
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Options, binaries, why_no_real_nodes};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use application::Application;
use picture::{Stages, wait};
use story::Story;
use story::app::{STANDBY, WEB};
use story::installed::{self, SYSTEM};

#[tokio::main]
async fn main() -> ExitCode {
    let keep = std::env::var("KEEP").is_ok_and(|word| !word.is_empty() && word != "0");
    match run(keep).await {
        Ok(last_line) => {
            println!("\n{last_line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nnot verified: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What all parts of the demo share.
struct Demo {
    story: Story,
    application: Application,
    stages: Stages,
}

async fn run(keep: bool) -> Result<String> {
    let fake = why_no_real_nodes();
    let mut stages = Stages::new();
    let cluster = Arc::new(start(&mut stages, fake.as_deref(), keep).await?);
    let told = match fake {
        None => in_pods(stages, Arc::clone(&cluster), keep).await,
        Some(_) => as_process(stages, Arc::clone(&cluster), keep).await,
    };
    if !keep {
        cluster.stop().await?;
    }
    told
}

async fn start(stages: &mut Stages, fake: Option<&str>, keep: bool) -> Result<Cluster> {
    match fake {
        None => stages.begin(
            "A real control plane with two real nodes",
            "etcd, API server, controller-manager, scheduler; kubelet, containerd, runc and kube-proxy, in a network of \
             their own. HOMEOSTAT_REAL_NODES=0 takes fake nodes instead.",
        ),
        Some(reason) => stages.begin(
            "A real control plane with three fake nodes (kwok)",
            &format!("etcd, API server, controller-manager, scheduler. No real nodes: {reason}."),
        ),
    }
    wait("its programs, which are built once, and then start in seconds");
    let kind = if fake.is_some() { Options::test("demo") } else { Options::real("demo") };
    Cluster::start(Options { outlive: keep, ..kind }).await
}

/// Helm installs the operator for all namespaces, as anybody would.
async fn in_pods(mut stages: Stages, cluster: Arc<Cluster>, keep: bool) -> Result<String> {
    stages.begin(
        "Helm installs the operator",
        "Two pods from charts/homeostat, with the image that the Dockerfile describes, in a namespace where Pod \
         Security enforces `restricted`; then `helm test`.",
    );
    wait("both pods to be available");
    let told = async {
        installed::begin(&cluster, &binary()?).await?;
        picture::show(&cluster, &["get", "pods", "--namespace", SYSTEM]).await?;
        let story = Story::beside_installed(Arc::clone(&cluster), "shop", &binary()?).await?;
        let mut demo = Demo { story, application: Application::Real, stages };
        let told = incidents::all(&mut demo).await;
        if keep {
            how_to_go_on(&demo).await?;
        }
        told
    };
    let told = told.await;
    if told.is_err() {
        eprintln!("{}", installed::last_words(&cluster).await);
    }
    told
}

/// There is no container on fake nodes: the operator runs beside the control plane.
async fn as_process(mut stages: Stages, cluster: Arc<Cluster>, keep: bool) -> Result<String> {
    stages.begin(
        "The operator starts as a process of this machine",
        "Fake nodes run no containers. It has the rights that the chart renders and no others.",
    );
    story::install_kinds(&cluster).await?;
    let mut story = Story::begin(Arc::clone(&cluster), "shop", &binary()?).await?;
    if keep {
        // The proxy between ends with this program.
        story.connect_directly().await?;
    }
    story.start_operator(&[]).await?;
    let mut demo = Demo { story, application: Application::Played, stages };
    let told = incidents::all(&mut demo).await;
    if keep {
        demo.story.leave().await?;
        how_to_go_on(&demo).await?;
    } else {
        demo.story.end().await?;
    }
    told
}

impl Demo {
    /// The application, and its stable state, from which on there is a way back.
    async fn earn(&mut self) -> Result<()> {
        self.stages.begin("An application, and a policy that looks after it", self.application.what());
        let standby = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": STANDBY});
        let policy = json!({
            "stability": {"soak": "4s"},
            "verification": {"window": "3s"},
            "detection": {"unavailableFor": "2s"},
            "actions": {
                "isolate": {"maxPods": 1, "inspection": "20s"},
                "rollback": {},
                "failover": {"standby": standby, "via": {"service": WEB}, "minCapacity": "50%"},
            },
        });
        wait("the application to serve");
        self.application.deploy(&self.story, policy).await?;
        wait("it to hold its criteria for the soak of 4 s, and to earn its stable state");
        self.story.await_stable().await?;
        self.show(&["get", "rp"]).await
    }

    /// What kubectl says about the namespace of the application.
    async fn show(&self, arguments: &[&str]) -> Result<()> {
        picture::show(&self.story.cluster, &[arguments, &["--namespace", self.story.namespace.name()]].concat()).await
    }
}

/// The commands for a cluster that was kept.
async fn how_to_go_on(demo: &Demo) -> Result<()> {
    let (cluster, namespace) = (&demo.story.cluster, demo.story.namespace.name());
    println!("\n== It goes on. To look at it:\n");
    println!("  export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("  alias kubectl={}", binaries::kubernetes().await?.join("kubectl").display());
    println!("  kubectl config set-context --current --namespace {namespace}");
    println!("  kubectl get rp,sst,rec            # policies, stable states, incidents");
    println!("  kubectl describe rec              # the whole story of each incident");
    println!("  kubectl get events --field-selector involvedObject.kind=RecoveryPolicy");
    if demo.application == Application::Real {
        println!("  kubectl logs -n {SYSTEM} -l app.kubernetes.io/name=homeostat");
        if let (Some(network), Some(address)) = (cluster.kernel_name(), client_address(&demo.story).await?) {
            println!("\nWhat the client counts:\n");
            println!("  ip netns exec {network} curl -s http://{address}:8081/counts");
        }
    }
    println!("\nTo break it yourself, and see it come back:\n");
    println!("  {}", demo.application.bad_command());
    println!("  kubectl get rp,rec --watch");
    println!("\nTo end it:\n\n  make cluster-down NAME=demo");
    Ok(())
}

async fn client_address(story: &Story) -> Result<Option<String>> {
    let pods: Vec<Pod> = story.pods("client").await?;
    Ok(pods.into_iter().find_map(|pod| pod.status?.pod_ip))
}

/// The operator that was built with this demo.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path: PathBuf = own.ancestors().nth(2).map(Path::to_owned).context("no target folder")?.join("homeostat");
    ensure!(path.is_file(), "{} is not there; run `make demo`, which builds it", path.display());
    Ok(path)
}
