//! An operator behind its proxy: its rights, its outages, its writes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::{Cluster, Cut, Namespace, Proxy, service_account};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use crate::create;

const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn is_seen_cut_off_and_held(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("proxy").await?;
    grant(cluster, &namespace).await?;
    let proxy = cluster.proxy().await?;
    let kubeconfig = cluster.run_directory().join("operator.kubeconfig");
    cluster.operator_kubeconfig(namespace.name(), "operator", proxy.url(), &kubeconfig).await?;
    let operator = operator(&kubeconfig).await?;
    let maps: Api<ConfigMap> = Api::namespaced(operator.clone(), namespace.name());

    // A request with the operator's own rights, and a watch that delivers.
    let mut watch = maps.watch(&WatchParams::default(), "0").await?.boxed();
    maps.create(&PostParams::default(), &map("first")?).await?;
    await_event(&mut watch, "first").await?;
    let forbidden = Api::<Pod>::namespaced(operator.clone(), namespace.name()).list(&ListParams::default()).await;
    ensure!(matches!(&forbidden, Err(kube::Error::Api(status)) if status.code == 403), "{forbidden:?}");
    proxy.wait_for("a watch", SOON, |request| request.is_watch() && request.status == Some(200)).await?;
    cuts(&proxy, &maps, watch).await?;
    holds(&proxy, &maps).await?;
    audited(cluster, &namespace).await?;
    namespace.delete().await
}

async fn cuts(
    proxy: &Proxy,
    maps: &Api<ConfigMap>,
    mut watch: impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin,
) -> Result<()> {
    proxy.cut(Cut::Refuse);
    let end = tokio::time::timeout(SOON, watch.try_next()).await.context("the watch goes on")?;
    ensure!(!matches!(end, Ok(Some(_))), "the watch gave {end:?} after the cut");
    ensure!(maps.get("first").await.is_err(), "a request went through a refusing proxy");
    proxy.restore();
    maps.get("first").await.context("after a refusal")?;

    let mut watch = maps.watch(&WatchParams::default(), "0").await?.boxed();
    await_event(&mut watch, "first").await?;
    proxy.cut(Cut::Silence);
    let instant = Duration::from_millis(300);
    ensure!(tokio::time::timeout(instant, maps.get("first")).await.is_err(), "a silent proxy answered");
    proxy.restore();
    maps.create(&PostParams::default(), &map("second")?).await.context("after a silence")?;
    // What had come before the cut may still be read.
    while let Ok(event) = tokio::time::timeout(instant, watch.try_next()).await {
        match event? {
            Some(WatchEvent::Added(map)) if map.metadata.name.as_deref() == Some("second") => {
                bail!("the silent watch spoke again")
            }
            Some(_) => {}
            None => bail!("the silent watch ended"),
        }
    }
    Ok(())
}

async fn holds(proxy: &Proxy, maps: &Api<ConfigMap>) -> Result<()> {
    let hold = proxy.hold_after_write(2);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry_run, &map("dry")?).await?;
    maps.create(&PostParams::default(), &map("third")?).await?;
    let (parameters, fourth) = (PostParams::default(), map("fourth")?);
    let answer = maps.create(&parameters, &fourth);
    let reached = tokio::select! {
        answer = answer => bail!("a held write was answered: {answer:?}"),
        reached = hold.reached(SOON) => reached?,
    };
    ensure!(reached.method == "POST" && reached.path.ends_with("/configmaps"), "{reached:?}");
    ensure!(reached.status == Some(201), "{reached:?}");
    ensure!(reached.body.is_some_and(|body| body["metadata"]["name"] == "fourth"), "another request was held");
    maps.get("fourth").await.context("the held write did not happen")?;

    let hold = proxy.hold_before_write(1);
    let fifth = map("fifth")?;
    let answer = maps.create(&parameters, &fifth);
    tokio::select! {
        answer = answer => bail!("a held write was answered: {answer:?}"),
        reached = hold.reached(SOON) => ensure!(reached?.status.is_none(), "it has an answer"),
    }
    ensure!(maps.get_opt("fifth").await?.is_none(), "a write that was held before its effect happened");
    let writes = proxy.writes();
    ensure!(writes.iter().filter(|write| write.dry_run).count() == 1, "{writes:?}");
    ensure!(writes.iter().filter(|write| write.status == Some(201)).count() == 5, "{writes:?}");
    Ok(())
}

async fn audited(cluster: &Cluster, namespace: &Namespace) -> Result<()> {
    let user = service_account(namespace.name(), "operator");
    let events = cluster.audit_of(&user).await?;
    let first = events.iter().find(|event| event.is_write()).context("no write in the audit log")?;
    ensure!(first.verb == "create" && first.resource == "configmaps" && first.code == 201, "{first:?}");
    ensure!(first.namespace == namespace.name() && first.decision == "allow" && first.succeeded(), "{first:?}");
    let body = first.request_body.as_ref().context("the write has no body")?;
    ensure!(body["metadata"]["name"] == "first", "{body}");
    ensure!(events.iter().filter(|event| event.dry_run).count() == 1, "one dry run");
    ensure!(events.iter().filter(|event| event.is_write()).count() == 4, "four effective writes");
    let refused = events.iter().find(|event| event.code == 403).context("no refusal in the audit log")?;
    ensure!(refused.resource == "pods" && refused.decision == "forbid", "{refused:?}");
    let all = cluster.audit().await?;
    ensure!(all.iter().any(|event| event.user == "admin" && event.request_body.is_none()), "no write by admin");
    ensure!(all.iter().all(|event| !event.user.starts_with("system:kube-")), "the control plane is in the log");
    Ok(())
}

async fn grant(cluster: &Cluster, namespace: &Namespace) -> Result<()> {
    let name = json!({"name": "operator"});
    create::<ServiceAccount>(cluster, namespace, json!({"metadata": name})).await?;
    let verbs = json!(["get", "list", "watch", "create"]);
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]);
    create::<Role>(cluster, namespace, json!({"metadata": name, "rules": rules})).await?;
    let subject = json!({"kind": "ServiceAccount", "name": "operator", "namespace": namespace.name()});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"});
    create::<RoleBinding>(cluster, namespace, json!({"metadata": name, "roleRef": role, "subjects": [subject]})).await
}

async fn operator(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

fn map(name: &str) -> Result<ConfigMap> {
    Ok(serde_json::from_value(json!({"metadata": {"name": name}}))?)
}

async fn await_event(
    watch: &mut (impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin),
    name: &str,
) -> Result<()> {
    let looking = async {
        while let Some(event) = watch.try_next().await? {
            if matches!(&event, WatchEvent::Added(map) if map.metadata.name.as_deref() == Some(name)) {
                return Ok(());
            }
        }
        bail!("the watch ended")
    };
    tokio::time::timeout(SOON, looking).await.with_context(|| format!("no event for {name}"))?
}
