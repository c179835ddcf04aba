//! The programs of the control plane and of real nodes, kubectl, helm and Prometheus: built once per version from one Go
//! module, into a cache outside the checkout. Must not look for any of them on PATH: a test means the version that is
//! pinned here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::process::last_lines;

/// How often a build says that it is still at work.
const PROGRESS: Duration = Duration::from_secs(15);

/// The Go module below the crate whose go.mod pins every version.
const MODULE: &str = "programs";

/// Without these the programs say that they are of no version, and clients complain.
const LINKER_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                            -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36 \
                            -X github.com/containerd/containerd/v2/version.Version=2.3.7";

/// Service discovery is most of what Prometheus is made of, and its targets come from files here.
const TAGS: &str = "remove_all_sd";

const KUBERNETES: Programs = Programs {
    name: "kubernetes",
    packages: &[
        "go.etcd.io/etcd/server/v3",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kubectl",
        "sigs.k8s.io/kwok/cmd/kwok",
    ],
    usual_time: "about 6 minutes on 2 cores",
};

const HELM: Programs =
    Programs { name: "helm", packages: &["helm.sh/helm/v4/cmd/helm"], usual_time: "about 3 minutes on 2 cores" };

const NODE: Programs = Programs {
    name: "node",
    packages: &[
        "./coredns",
        "github.com/containerd/containerd/v2/cmd/containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/ctr",
        "github.com/containernetworking/plugins/plugins/ipam/host-local",
        "github.com/containernetworking/plugins/plugins/main/bridge",
        "github.com/containernetworking/plugins/plugins/main/loopback",
        "github.com/containernetworking/plugins/plugins/meta/portmap",
        "github.com/prometheus/prometheus/cmd/prometheus",
        "k8s.io/kubernetes/cmd/kube-proxy",
        "k8s.io/kubernetes/cmd/kubelet",
    ],
    usual_time: "about 3 minutes on 2 cores, after the control plane",
};

/// Programs that are wanted together.
struct Programs {
    name: &'static str,
    packages: &'static [&'static str],
    usual_time: &'static str,
}

/// Builds etcd, the control plane, kubectl and kwok unless the cache has them; gives their directory.
/// etcd's program is called `server`.
pub async fn kubernetes() -> Result<PathBuf> {
    KUBERNETES.build().await
}

/// Builds what real nodes and the network between them need unless the cache has it: kubelet, kube-proxy, containerd with
/// its shim and ctr, network plugins, CoreDNS and Prometheus; gives their directory.
pub async fn node() -> Result<PathBuf> {
    NODE.build().await
}

/// Builds helm unless the cache has it; gives its directory.
pub async fn helm() -> Result<PathBuf> {
    HELM.build().await
}

impl Programs {
    fn destination(&self) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        for file in ["go.mod", "go.sum", "coredns/main.go"] {
            let path = source().join(file);
            hash.update(std::fs::read(&path).with_context(|| format!("read {}", path.display()))?);
        }
        hash.update(LINKER_FLAGS);
        hash.update(TAGS);
        hash.update(self.packages.join(" "));
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
        check_go(&source()).await?;

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
        for program in self.names() {
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
            .args(["build", "-trimpath", "-tags", TAGS, "-ldflags", LINKER_FLAGS, "-o"])
            // The trailing separator makes go treat it as a directory.
            .arg(output.join(""))
            .args(self.packages)
            .current_dir(source())
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
        let done: Vec<_> = self.names().filter(|program| output.join(program).is_file()).collect();
        match done.as_slice() {
            [] => format!("compiling, none of {} linked yet", self.packages.len()),
            done => format!("{} of {} done: {}", done.len(), self.packages.len(), done.join(", ")),
        }
    }

    /// What go calls the programs: by the last part of the package's path that is no major version.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let version = |part: &str| part.strip_prefix('v').is_some_and(|digits| digits.parse::<u32>().is_ok());
        self.packages.iter().filter_map(move |package| package.rsplit('/').find(|part| !version(part)))
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(MODULE)
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
    use super::{KUBERNETES, LINKER_FLAGS};

    #[test]
    fn the_programs_say_the_version_that_they_are() {
        let module = include_str!("../programs/go.mod");
        let required = |path: &str| {
            let version = module.lines().find_map(|line| line.trim().strip_prefix(path)?.strip_prefix(" v"));
            version.and_then(|version| version.split_whitespace().next()).expect("a version")
        };
        let kubernetes = format!("gitVersion=v{} ", required("k8s.io/kubernetes"));
        assert!(LINKER_FLAGS.contains(&kubernetes), "{kubernetes}");
        let containerd = format!("version.Version={}", required("github.com/containerd/containerd/v2"));
        assert!(LINKER_FLAGS.ends_with(&containerd), "{containerd}");
    }

    #[test]
    fn a_program_is_called_as_go_calls_it() {
        let names: Vec<_> = KUBERNETES.names().collect();
        assert_eq!(names[..2], ["server", "kube-apiserver"]);
    }
}
