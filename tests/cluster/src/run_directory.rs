//! Where a run keeps its logs, keys and records, and how what an earlier run left behind is cleared away.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::process::{self, ProcessId};
use crate::real::remains;

/// The link to the store's directory, which may lie in memory.
const STORE: &str = "etcd";
/// A store in memory needs room: write-ahead log and database grow to a few hundred megabytes under load.
const ROOM: u64 = 1 << 30;

/// The directory of a cluster for hands-on use, below the checkout.
pub(crate) fn hands_on(name: &str) -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let checkout = checkout.canonicalize().unwrap_or(checkout);
    checkout.join(".cluster").join(name)
}

/// Makes the directory of a cluster for hands-on use, after clearing away what was there.
pub(crate) fn create_hands_on(name: &str) -> Result<PathBuf> {
    let path = hands_on(name);
    clear(&path)?;
    create(&path)?;
    Ok(path)
}

/// Makes a directory for one test run. Directories whose harness is gone are cleared away first, processes too: that
/// is why the logs of a run stay until the next one.
pub(crate) fn create_temporary(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let user = rustix::process::getuid().as_raw();
    let base = std::env::temp_dir().join(format!("homeostat-cluster-{user}"));
    create(&base)?;
    for entry in std::fs::read_dir(&base).with_context(|| format!("read {}", base.display()))? {
        let path = entry?.path();
        // Another start may be clearing it away at the same time.
        if owner(&path).is_some_and(|owner| !owner.is_running())
            && let Err(error) = clear(&path)
        {
            eprintln!("cluster: cannot clear away {}: {error:#}", path.display());
        }
    }
    let own = ProcessId::own()?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = base.join(format!("{name}-{count}-{}-{}", own.pid, own.start_time));
    create(&path)?;
    Ok(path)
}

/// The directory for the store: in memory if there is room, else in the run directory.
pub(crate) fn create_store(directory: &Path) -> Result<PathBuf> {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map(|found| found.f_bavail * found.f_frsize).unwrap_or(0);
    let link = directory.join(STORE);
    if room >= ROOM {
        let own = ProcessId::own()?;
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or("cluster");
        let store = memory.join(format!("homeostat-cluster-{name}-{}-{}", own.pid, own.start_time));
        if create(&store).is_ok() {
            if let Err(error) = std::os::unix::fs::symlink(&store, &link) {
                std::fs::remove_dir(&store)?;
                return Err(error).with_context(|| format!("link {}", link.display()));
            }
            return Ok(store);
        }
    }
    create(&link)?;
    Ok(link)
}

/// Removes the store; the logs stay.
pub(crate) fn remove_store(directory: &Path) -> Result<()> {
    let link = directory.join(STORE);
    match std::fs::read_link(&link) {
        Ok(store) => {
            remove(&store)?;
            std::fs::remove_file(&link).with_context(|| format!("remove {}", link.display()))
        }
        Err(_) => remove(&link),
    }
}

/// Ends the processes on record, and removes what real nodes leave in the kernel and the directory; gives how many processes still ran.
pub(crate) fn clear(directory: &Path) -> Result<usize> {
    if !directory.exists() {
        return Ok(0);
    }
    let ended = process::end_recorded(directory)?;
    remains::remove(directory)?;
    remove_store(directory)?;
    remove(directory)?;
    Ok(ended)
}

/// The harness that made a temporary directory, from its name.
fn owner(path: &Path) -> Option<ProcessId> {
    let mut parts = path.file_name()?.to_str()?.rsplit('-');
    let start_time = parts.next()?.parse().ok()?;
    Some(ProcessId { pid: parts.next()?.parse().ok()?, start_time })
}

/// Only for this user: there are private keys in it.
fn create(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).with_context(|| format!("create {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
