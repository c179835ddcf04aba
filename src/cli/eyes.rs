//! What subcommands see of one namespace: the same eyes as the operator's, opened once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::{Client, Config};
use tokio::task::JoinSet;

use crate::act::Sealer;
use crate::clock;
use crate::observe::{Kind, Observer, SecretDigest};

/// How long the cluster may take to show everything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Said where nobody can tell whether a Secret changed.
pub(super) const NO_SECRETS: &str = "Secrets are not compared: that takes the key of the seal";

/// The namespace that is meant if none is named.
pub(super) async fn default_namespace() -> anyhow::Result<String> {
    let config = Config::infer().await.context("failed to find a cluster: set KUBECONFIG, or give --facts FOLDER")?;
    Ok(config.default_namespace)
}

/// The key of the seal, if we may read it; else a note that says what follows.
pub(super) async fn key(client: &Client, operator: &str, notes: &mut Vec<String>) -> Option<Arc<Sealer>> {
    let sealer = Sealer::read(client, operator, "homeostat-seal").await;
    if let Err(error) = &sealer {
        notes.push(format!("the seals of stable states are taken for genuine: {error}"));
    }
    sealer.ok().flatten().map(Arc::new)
}

/// Looks at a namespace until everything was seen once. Secrets are looked at only with the key, and if `secrets` says
/// so.
pub(super) async fn open(
    client: &Client,
    namespace: &str,
    sealer: Option<Arc<Sealer>>,
    secrets: bool,
) -> anyhow::Result<(Observer, JoinSet<()>)> {
    let digest = sealer.clone().filter(|_| secrets).map(|sealer| -> Box<SecretDigest> {
        Box::new(move |namespace, name, content| sealer.secret_digest(namespace, name, content))
    });
    let verify = move |state: &_| sealer.as_ref().is_none_or(|sealer| sealer.verify(state));
    let (observer, reflectors) = Observer::start(client, &[namespace.to_owned()], verify, digest, &[]);
    if tokio::time::timeout(PATIENCE, observer.ready()).await.is_err() {
        let matter = observer.blind(clock::monotonic()).join("; ");
        bail!("failed to see namespace {namespace} within {} s: {matter}", PATIENCE.as_secs());
    }
    Ok((observer, reflectors))
}

/// Looks at the namespace itself, once. The note says what follows if we may not.
pub(super) async fn see_namespace(client: &Client, observer: &Observer, namespace: &str) -> Option<String> {
    let found = Api::<Namespace>::all(client.clone()).get(namespace).await;
    let found = found.map_err(|error| error.to_string()).and_then(|found| {
        let text = serde_json::to_string(&found).map_err(|error| error.to_string())?;
        observer.stores().absorb(Kind::Namespace, &text);
        Ok(())
    });
    found.err().map(|error| format!("the namespace's Pod Security labels are not compared: {error}"))
}
