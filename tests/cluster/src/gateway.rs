//! Definitions of the routes of the Gateway API, as their module has them: they are no part of Kubernetes.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::tools::finish;

const MODULE: &str = "sigs.k8s.io/gateway-api";
const GROUP: &str = "gateway.networking.k8s.io";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: PathBuf,
}

/// The files that define HTTPRoutes and GRPCRoutes, in the version that is pinned here. Go fetches them the first time.
pub async fn gateway_routes() -> Result<[PathBuf; 2]> {
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", MODULE])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway"))
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .stdin(Stdio::null());
    let answer = finish(go, "go mod download", None).await?;
    let Downloaded { dir } = serde_json::from_str(&answer).context("the answer of go mod download")?;
    let files = ["httproutes", "grpcroutes"].map(|kind| dir.join(format!("config/crd/standard/{GROUP}_{kind}.yaml")));
    for file in &files {
        ensure!(file.is_file(), "{MODULE} has no {}", file.display());
    }
    Ok(files)
}
