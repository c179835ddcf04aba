//! `homeostat crds`: the CustomResourceDefinitions, as installed.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::api::all_crds;

/// Arguments of `homeostat crds`.
#[derive(Args, Clone, Debug)]
pub struct Crds {
    /// Write one file per kind into this folder instead of printing.
    #[arg(long, value_name = "FOLDER")]
    output_dir: Option<PathBuf>,
}

/// Prints the CRDs, or writes them to files.
///
/// # Errors
/// If a file cannot be written.
pub fn run(args: &Crds) -> anyhow::Result<()> {
    for crd in all_crds() {
        let text = serde_saphyr::to_string(&crd)?;
        match &args.output_dir {
            None => super::print(&format!("---\n{text}"))?,
            Some(folder) => write(&folder.join(format!("{}.yaml", crd.spec.names.plural)), &text)?,
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}
