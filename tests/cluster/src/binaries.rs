//! The programs of the control plane and of real nodes, kubectl, helm and Prometheus: built once per version from Go modules, into a cache outside
//! the checkout. Must not look for any of them on PATH: a test means the version that is pinned here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::process::last_lines;

/// How often a build says that it is still at work.
const PROGRESS: Duration = Duration::from_secs(15);

const KUBERNETES: Module = Module {
    name: "kubernetes",
    // Without them the programs call themselves v0.0.0, and clients complain.
    linker_flags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                   -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36",
    tags: "",
    programs: &["server", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok"],
    usual_time: "about 6 minutes on 2 cores",
};

const HELM: Module = Module {
    name: "helm",
    linker_flags: "-s -w",
    tags: "",
    programs: &["helm"],
    usual_time: "about 4 minutes on 2 cores",
};

const NODE: Module = Module {
    name: "node",
    // The same flags as the control plane: what both have in common is compiled once.
    linker_flags: KUBERNETES.linker_flags,
    tags: "",
    programs: &["kubelet", "kube-proxy"],
    usual_time: "about 2 minutes on 2 cores",
};

const CONTAINERD: Module = Module {
    name: "containerd",
    linker_flags: "-s -w -X github.com/containerd/containerd/v2/version.Version=2.2.3",
    tags: "",
    programs: &["containerd", "containerd-shim-runc-v2", "ctr", "bridge", "host-local", "loopback", "portmap"],
    usual_time: "about 3 minutes on 2 cores",
};

const COREDNS: Module = Module {
    name: "coredns",
    linker_flags: "-s -w",
    tags: "",
    programs: &["coredns"],
    usual_time: "about 3 minutes on 2 cores",
};

const PROMETHEUS: Module = Module {
    name: "prometheus",
    linker_flags: "-s -w",
    // Service discovery is most of what it is made of, and targets come from files here.
    tags: "remove_all_sd",
    programs: &["prometheus"],
    usual_time: "about 3 minutes on 2 cores",
};

/// A directory below the crate with go.mod and go.sum, whose `tool` directives name programs.
struct Module {
    name: &'static str,
    linker_flags: &'static str,
    tags: &'static str,
    programs: &'static [&'static str],
    usual_time: &'static str,
}

/// Builds etcd, the control plane, kubectl and kwok unless the cache has them; gives their directory.
/// etcd's program is called `server`.
pub async fn kubernetes() -> Result<PathBuf> {
    KUBERNETES.build().await
}

/// Builds kubelet and kube-proxy unless the cache has them; gives their directory.
pub async fn node() -> Result<PathBuf> {
    NODE.build().await
}

/// Builds containerd, its shim, ctr and the network plugins unless the cache has them; gives their directory.
pub async fn containerd() -> Result<PathBuf> {
    CONTAINERD.build().await
}

/// Builds CoreDNS unless the cache has it; gives its directory.
pub async fn coredns() -> Result<PathBuf> {
    COREDNS.build().await
}

/// Builds Prometheus unless the cache has it; gives its directory.
pub async fn prometheus() -> Result<PathBuf> {
    PROMETHEUS.build().await
}

/// Builds helm unless the cache has it; gives its directory.
pub async fn helm() -> Result<PathBuf> {
    HELM.build().await
}

impl Module {
    fn source(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(self.name)
    }

    fn destination(&self) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        for file in ["go.mod", "go.sum"] {
            let path = self.source().join(file);
            hash.update(std::fs::read(&path).with_context(|| format!("read {}", path.display()))?);
        }
        hash.update(self.linker_flags);
        hash.update(self.tags);
        hash.update(std::env::consts::OS);
        hash.update(std::env::consts::ARCH);
        let key: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(cache()?.join(format!("{}-{key}", self.name)))
    }

    async fn build(&self) -> Result<PathBuf> {
        let destination = self.destination()?;
        if destination.is_dir() {
            return Ok(destination);
        }
        let cache = cache()?;
        std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
        let _lock = lock(cache.join(format!("{}.lock", self.name))).await?;
        if destination.is_dir() {
            return Ok(destination);
        }
        check_go(&self.source()).await?;

        // Under the lock, so what a killed build left behind may go.
        let partial = cache.join(format!("{}.partial", self.name));
        if partial.exists() {
            std::fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
        }
        std::fs::create_dir(&partial).with_context(|| format!("create {}", partial.display()))?;
        let log = cache.join(format!("{}-build.log", self.name));
        eprintln!(
            "cluster: building {} into {}: {} the first time, seconds after that. Log: {}",
            self.name,
            destination.display(),
            self.usual_time,
            log.display()
        );
        self.compile(&partial, &log).await?;
        for program in self.programs {
            if !partial.join(program).is_file() {
                bail!("the build of {} gave no program {program}; log: {}", self.name, log.display());
            }
        }
        std::fs::rename(&partial, &destination).with_context(|| format!("rename to {}", destination.display()))?;
        eprintln!("cluster: {} is built", self.name);
        Ok(destination)
    }

    async fn compile(&self, output: &Path, log: &Path) -> Result<()> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let mut build = tokio::process::Command::new("go")
            .args(["build", "-trimpath", "-tags", self.tags, "-ldflags", self.linker_flags, "-o"])
            // The trailing separator makes go treat it as a directory.
            .arg(output.join(""))
            .arg("tool")
            .current_dir(self.source())
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("start go build")?;
        let mut elapsed = Duration::ZERO;
        let status = loop {
            match tokio::time::timeout(PROGRESS, build.wait()).await {
                Ok(status) => break status.context("wait for go build")?,
                Err(_) => {
                    elapsed += PROGRESS;
                    eprintln!("cluster: {} still building, {} s; {}", self.name, elapsed.as_secs(), self.done(output));
                }
            }
        };
        if !status.success() {
            bail!(
                "go build of {} failed ({status}); log: {}\n{}\nIf modules could not be fetched, check GOPROXY and the \
                 network, then run `cargo run -p cluster -- build` again: finished packages stay in Go's cache.",
                self.name,
                log.display(),
                last_lines(log, 15)
            );
        }
        Ok(())
    }

    fn done(&self, output: &Path) -> String {
        let done: Vec<_> = self.programs.iter().copied().filter(|program| output.join(program).is_file()).collect();
        match done.as_slice() {
            [] => format!("compiling, none of {} linked yet", self.programs.len()),
            done => format!("{} of {} done: {}", done.len(), self.programs.len(), done.join(", ")),
        }
    }
}

fn cache() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set: no place for built programs")?;
    Ok(base.join("homeostat"))
}

async fn lock(path: PathBuf) -> Result<File> {
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("cluster: another build holds {}; waiting for it", path.display());
        return tokio::task::spawn_blocking(move || file.lock().map(|()| file))
            .await?
            .with_context(|| format!("lock {}", path.display()));
    }
    Ok(file)
}

/// Go 1.21 and newer fetch the toolchain that go.mod asks for; what is older can only say no.
async fn check_go(source: &Path) -> Result<()> {
    const NEXT_STEP: &str = "install Go 1.26 or newer and put it on PATH";
    let answer = tokio::process::Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(source)
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .output()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => bail!("the test control plane is built with Go, but `go` does not start ({error}): {NEXT_STEP}"),
    };
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if !answer.status.success() {
        bail!(
            "Go is too old or cannot get the toolchain it needs: {NEXT_STEP}\n{}",
            String::from_utf8_lossy(&answer.stderr)
        );
    }
    let minor = version.strip_prefix("go1.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    match minor {
        Some(minor) if minor < 26 => bail!("Go is too old ({version}): {NEXT_STEP}"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{CONTAINERD, KUBERNETES, NODE};

    fn required<'a>(module: &'a str, path: &str) -> &'a str {
        let version = module.lines().find_map(|line| line.trim().strip_prefix(path)?.strip_prefix(' '));
        version.and_then(|version| version.split_whitespace().next()).expect("a version")
    }

    #[test]
    fn the_programs_say_the_version_that_they_are() {
        for (module, of) in [(include_str!("../kubernetes/go.mod"), KUBERNETES), (include_str!("../node/go.mod"), NODE)]
        {
            let version = required(module, "k8s.io/kubernetes");
            assert!(of.linker_flags.contains(&format!("gitVersion={version} ")), "{} has {version}", of.name);
        }
        let version = required(include_str!("../containerd/go.mod"), "github.com/containerd/containerd/v2");
        let flag = format!("version.Version={}", version.trim_start_matches('v'));
        assert!(CONTAINERD.linker_flags.ends_with(&flag), "{version}");
    }
}
