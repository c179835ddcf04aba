//! What only real containers show: crashes, answers through a service, the loss of a node.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::{Cluster, Image, Namespace, binaries, eventually, service_account};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod, Service};
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};

use crate::BUSYBOX;

const SOON: Duration = Duration::from_secs(60);
/// Less than one question to a name server that does not answer takes.
const AT_ONCE: Duration = Duration::from_secs(5);

/// There is no registry: a node says so, and does not first wait for the name server of the machine.
pub(crate) async fn an_absent_image_is_told(cluster: &Cluster, namespace: &Namespace) -> Result<()> {
    let container = json!({"name": "main", "image": "homeostat.test/absent:1"});
    deploy(cluster, namespace, "absent", 1, json!({"containers": [container]})).await?;
    let pods = pods(cluster, namespace);
    let waiting = async || {
        let pods = pods.list(&ListParams::default().labels("app=absent")).await?.items;
        let status = pods.first().and_then(container_status).context("no status")?;
        status.state.as_ref().and_then(|state| state.waiting.clone()).context("it does not wait")
    };
    eventually("a container of an absent image", SOON, waiting).await?;
    eventually("a failed pull", AT_ONCE, async || {
        let reason = waiting().await?.reason.unwrap_or_default();
        ensure!(["ErrImagePull", "ImagePullBackOff"].contains(&reason.as_str()), "{reason}");
        Ok(())
    })
    .await
}

/// A container that ends with an error is started again, and then held back.
pub(crate) async fn crashes(cluster: &Cluster, namespace: &Namespace) -> Result<()> {
    let container = json!({"name": "main", "image": BUSYBOX, "command": ["sh", "-c", "echo no good; exit 3"]});
    deploy(cluster, namespace, "bad", 1, json!({"containers": [container]})).await?;
    let pods = pods(cluster, namespace);
    eventually("CrashLoopBackOff", SOON, async || {
        let pods = pods.list(&ListParams::default().labels("app=bad")).await?.items;
        let status = pods.first().and_then(container_status).context("no status")?;
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
        let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        match (reason, ended) {
            (Some("CrashLoopBackOff"), Some(ended)) if ended.exit_code == 3 => Ok(()),
            _ => bail!("{status:?}"),
        }
    })
    .await?;
    let log = cluster.kubectl(&["logs", "--namespace", namespace.name(), "deployment/bad"]).await?;
    ensure!(log == "no good\n", "its log: {log}");
    Ok(())
}

/// A pod reaches the API server as what it is. Its image is made of one static program.
pub(crate) async fn reaches_the_api_server(cluster: &Cluster, namespace: &Namespace) -> Result<()> {
    const NAME: &str = "homeostat.test/kubectl:1";
    let program = std::fs::read(binaries::kubernetes().await?.join("kubectl"))?;
    let image = Image::new(NAME).file("/kubectl", 0o755, program).entrypoint(&["/kubectl"]).user("65532:65532");
    cluster.load_image(&image).await?;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "asking"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true},
            "containers": [{"name": "main", "image": NAME, "args": ["auth", "whoami", "--output=json"]}],
        },
    }))?;
    let pods = pods(cluster, namespace);
    pods.create(&PostParams::default(), &pod).await?;
    eventually("the end of a pod that asks the API server", SOON, async || {
        let status = pods.get_status("asking").await?.status.unwrap_or_default();
        if status.phase.as_deref() == Some("Succeeded") { Ok(()) } else { bail!("{:?}", status.container_statuses) }
    })
    .await?;
    let answer = cluster.kubectl(&["logs", "--namespace", namespace.name(), "asking"]).await?;
    let user = service_account(namespace.name(), "default");
    ensure!(answer.contains(&user), "it is {answer}, not {user}");
    Ok(())
}

/// Two pods, one per node, that answer with the name of their node.
pub(crate) struct Web<'a> {
    cluster: &'a Cluster,
    namespace: &'a Namespace,
    address: String,
}

impl<'a> Web<'a> {
    pub(crate) async fn create(cluster: &'a Cluster, namespace: &'a Namespace) -> Result<Self> {
        let serve = "echo from $NODE >/tmp/index.html; exec httpd -f -p 8080 -h /tmp";
        let pod = json!({
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main",
                "image": BUSYBOX,
                "command": ["sh", "-c", serve],
                "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                "readinessProbe": {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1},
            }],
            "topologySpreadConstraints": [{
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "web"}},
            }],
        });
        deploy(cluster, namespace, "web", 2, pod).await?;
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }))?;
        let services: Api<Service> = Api::namespaced(cluster.client(), namespace.name());
        let created = services.create(&PostParams::default(), &service).await?;
        let address = created.spec.and_then(|spec| spec.cluster_ip).context("no address")?;
        Ok(Self { cluster, namespace, address })
    }

    /// Through the address of the service, which exists in the network of the cluster alone.
    pub(crate) async fn answers_from_both_nodes(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        eventually("answers from both nodes", SOON, async || {
            seen.insert(self.ask().await?);
            let both = seen.iter().map(String::as_str).eq(["from node-1", "from node-2"]);
            if both { Ok(()) } else { bail!("so far {seen:?}") }
        })
        .await
    }

    /// A pod resolves the name of the Service, the short one too, and gets its answer.
    pub(crate) async fn is_found_by_name(&self) -> Result<()> {
        let ask = r"nslookup $NAME.svc.cluster.local && printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc -w 2 web 80";
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "looking-up"},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "main",
                    "image": BUSYBOX,
                    "command": ["sh", "-c", ask],
                    "env": [{"name": "NAME", "value": format!("web.{}", self.namespace.name())}],
                }],
            },
        }))?;
        let pods = pods(self.cluster, self.namespace);
        pods.create(&PostParams::default(), &pod).await?;
        let phase = eventually("the end of a pod that looks up a name", SOON, async || {
            let phase = pods.get_status("looking-up").await?.status.and_then(|status| status.phase);
            phase.filter(|phase| ["Succeeded", "Failed"].contains(&phase.as_str())).context("it has not ended")
        })
        .await?;
        let said = self.cluster.kubectl(&["logs", "--namespace", self.namespace.name(), "looking-up"]).await?;
        let found = said.contains(&format!("Address: {}", self.address)) && said.contains("from node-");
        ensure!(phase == "Succeeded" && found, "{phase}, it said: {said}");
        Ok(())
    }

    pub(crate) async fn survives_the_loss_of_a_node(&self) -> Result<()> {
        self.cluster.stop_node(2).await?;
        self.await_node("Unknown").await?;
        // Whoever is left answers.
        eventually("an answer", SOON, async || self.ask().await).await?;
        self.cluster.start_node(2).await?;
        self.await_node("True").await?;
        self.answers_from_both_nodes().await
    }

    async fn ask(&self) -> Result<String> {
        const ASK: &str = r"printf 'GET /index.html HTTP/1.0\r\n\r\n' | busybox nc -w 2 $0 80";
        let answer = self.cluster.run_inside("sh", &["-c", ASK, &self.address]).await?;
        let body = answer.trim_end().lines().next_back().unwrap_or_default().to_owned();
        ensure!(answer.starts_with("HTTP/1.1 200"), "the answer was {answer}");
        Ok(body)
    }

    async fn await_node(&self, ready: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.cluster.client());
        eventually(&format!("node 2 to be {ready}"), SOON, async || {
            let conditions = nodes.get_status("node-2").await?.status.and_then(|status| status.conditions);
            let found = conditions.unwrap_or_default().into_iter().find(|condition| condition.type_ == "Ready");
            if found.as_ref().is_some_and(|found| found.status == ready) { Ok(()) } else { bail!("{found:?}") }
        })
        .await
    }
}

fn container_status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn pods(cluster: &Cluster, namespace: &Namespace) -> Api<Pod> {
    Api::namespaced(cluster.client(), namespace.name())
}

async fn deploy(cluster: &Cluster, namespace: &Namespace, name: &str, replicas: i32, pod: Value) -> Result<()> {
    let labels = json!({"app": name});
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }))?;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), namespace.name());
    deployments.create(&PostParams::default(), &deployment).await.with_context(|| format!("create {name}"))?;
    Ok(())
}
