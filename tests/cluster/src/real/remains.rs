//! What real nodes leave in the kernel: a network namespace, a link into it, and cgroups. All names follow from the run
//! directory, so that the next start finds them without a record. Must not touch anything of another name, but for
//! switching on controllers for cgroups below the root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::command;
use crate::process::ProcessId;

const CGROUPS: &str = "/sys/fs/cgroup";
pub(super) const NAMESPACES: &str = "/run/netns";
/// The kernel lets go of ended processes a moment later.
const AFTERWARDS: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// The name of a run's network namespace, and of its cgroups.
pub(crate) fn name(directory: &Path) -> String {
    format!("homeostat-{}", key(directory))
}

/// The name of the link that leads from this machine into the network namespace; 15 characters is the limit.
pub(super) fn link(directory: &Path) -> String {
    format!("hs-{}", key(directory))
}

/// Where a network namespace of this name can be entered.
pub(super) fn namespace(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(name)
}

fn key(directory: &Path) -> String {
    let hash = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Removes all of it, after the processes on record have ended. Fine if there is nothing.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    let name = name(directory);
    if namespace(&name).exists() {
        end_processes_in(&name)?;
        command::run("ip", &["netns", "delete", &name])?;
    }
    let link = link(directory);
    // It goes by itself, but later, and its subnet is to be free now. Who was quicker does not matter.
    if is_link(&link)
        && let Err(error) = command::run("ip", &["link", "delete", &link])
        && is_link(&link)
    {
        return Err(error);
    }
    for cgroup in cgroups(&name) {
        remove_cgroup(&cgroup)?;
    }
    Ok(())
}

fn is_link(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Nobody else can be in there: a program that a killed harness ran inside, perhaps.
fn end_processes_in(namespace: &str) -> Result<()> {
    for word in command::run("ip", &["netns", "pids", namespace])?.split_whitespace() {
        if let Some(id) = word.parse().ok().and_then(ProcessId::running) {
            id.kill();
        }
    }
    Ok(())
}

/// Makes the cgroups below which all containers of a node go; gives their path as kubelet wants it.
pub(super) fn create_cgroups(name: &str, node: &str) -> Result<String> {
    for hierarchy in hierarchies() {
        let (ours, last) = (hierarchy.join(name), hierarchy.join(name).join(node));
        std::fs::create_dir_all(&last).with_context(|| format!("create cgroup {}", last.display()))?;
        // Only version 2 has this file; there a cgroup has the controllers that its parent gives it.
        let controllers = std::fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
        for controller in controllers.split_whitespace() {
            for parent in [&hierarchy, &ours] {
                let file = parent.join("cgroup.subtree_control");
                // kubelet says which one it misses, if it needs it.
                let _ = std::fs::write(&file, format!("+{controller}"));
            }
        }
    }
    Ok(format!("/{name}/{node}"))
}

fn cgroups(name: &str) -> Vec<PathBuf> {
    hierarchies().into_iter().map(|hierarchy| hierarchy.join(name)).filter(|path| path.is_dir()).collect()
}

/// One for every controller, or with cgroup version 2 a single one.
fn hierarchies() -> Vec<PathBuf> {
    let top = Path::new(CGROUPS);
    if top.join("cgroup.controllers").exists() {
        return vec![top.to_owned()];
    }
    let below = std::fs::read_dir(top).into_iter().flatten().flatten();
    // Some controllers share a hierarchy, and have links to it.
    below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn remove_cgroup(path: &Path) -> Result<()> {
    for entry in std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        let below = entry?.path();
        if below.is_dir() {
            remove_cgroup(&below)?;
        }
    }
    for _ in 0..AFTERWARDS.as_millis() / POLL.as_millis() {
        match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => std::thread::sleep(POLL),
            Err(error) => return Err(error).with_context(|| format!("remove cgroup {}", path.display())),
        }
    }
    bail!("cgroup {} still has processes; see its cgroup.procs", path.display())
}
