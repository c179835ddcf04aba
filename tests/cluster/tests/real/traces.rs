//! What a cluster with real nodes has on this machine, to see that nothing of it is left.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, ProcessId};

/// Taken while the cluster runs.
#[derive(Debug)]
pub(crate) struct Traces {
    directory: PathBuf,
    kernel_name: String,
    processes: Vec<ProcessId>,
}

impl Traces {
    pub(crate) fn of(cluster: &Cluster) -> Result<Self> {
        let mut processes: Vec<_> = cluster.processes().into_iter().map(|(_, id)| id).collect();
        let mut index = 0;
        while let Some(id) = processes.get(index).copied() {
            processes.extend(id.children());
            index += 1;
        }
        let kernel_name = cluster.kernel_name().context("no real nodes")?;
        Ok(Self { directory: cluster.run_directory().to_owned(), kernel_name, processes })
    }

    pub(crate) fn parse(words: &str) -> Result<Self> {
        let mut lines = words.lines();
        let directory = lines.next().context("no directory")?.into();
        let kernel_name = lines.next().context("no name")?.to_owned();
        let parse = |line: &str| {
            let (pid, start_time) = line.split_once(' ')?;
            Some(ProcessId { pid: pid.parse().ok()?, start_time: start_time.parse().ok()? })
        };
        Ok(Self { directory, kernel_name, processes: lines.filter_map(parse).collect() })
    }

    pub(crate) fn processes(&self) -> usize {
        self.processes.len()
    }

    pub(crate) fn ensure_gone(&self) -> Result<()> {
        let running: Vec<_> = self.processes.iter().filter(|id| id.is_running()).collect();
        ensure!(running.is_empty(), "processes still run: {running:?}");
        let namespace = Path::new("/run/netns").join(&self.kernel_name);
        ensure!(!namespace.exists(), "{} is there", namespace.display());
        let link = Path::new("/sys/class/net").join(self.kernel_name.replace("homeostat-", "hs-"));
        ensure!(!link.exists(), "{} is there", link.display());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let left = mounts.lines().find(|line| line.contains(&self.directory.display().to_string()));
        ensure!(left.is_none(), "mounted: {left:?}");
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path()) {
            let cgroup = hierarchy.join(&self.kernel_name);
            ensure!(!cgroup.exists() && !hierarchy.ends_with(&self.kernel_name), "{} is there", cgroup.display());
        }
        Ok(())
    }
}

impl Display for Traces {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "{}\n{}", self.directory.display(), self.kernel_name)?;
        self.processes.iter().try_for_each(|id| writeln!(formatter, "{} {}", id.pid, id.start_time))
    }
}

/// Where the programs of a node write when they are not told otherwise, and settings of the whole machine that they
/// change.
#[derive(Debug, PartialEq)]
pub(crate) struct Places {
    entries: BTreeSet<PathBuf>,
    settings: Vec<String>,
}

impl Places {
    pub(crate) fn now() -> Self {
        const DIRECTORIES: [&str; 6] = ["/run", "/run/netns", "/var/lib", "/var/log", "/etc/cni", "/opt"];
        const SETTINGS: [&str; 4] = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"];
        let list = |path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let read = |name| std::fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
        Self { entries: DIRECTORIES.into_iter().flat_map(list).collect(), settings: SETTINGS.map(read).into() }
    }

    pub(crate) fn ensure_unchanged(&self) -> Result<()> {
        let now = Self::now();
        let new: Vec<_> = now.entries.difference(&self.entries).collect();
        ensure!(new.is_empty(), "left behind: {new:?}");
        ensure!(
            self.settings == now.settings,
            "settings of this machine were {:?}, are {:?}",
            self.settings,
            now.settings
        );
        Ok(())
    }
}
