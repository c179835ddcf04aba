//! What real nodes ask of this machine: Linux, root, and a few programs that Debian's packages bring. Missing packages
//! are installed with apt-get, and it says so. Must not change anything else of the machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

/// The environment variable that, set to 0, tells tests to do without real nodes.
pub const REAL_NODES_VARIABLE: &str = "HOMEOSTAT_REAL_NODES";

/// What CI systems set.
const CI_VARIABLES: [&str; 2] = ["CI", "GITHUB_ACTIONS"];

/// Programs, and the Debian package that has each.
const PROGRAMS: [(&str, &str); 9] = [
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("iptables-restore", "iptables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("env", "coreutils"),
    ("sleep", "coreutils"),
];
const BUSYBOX_PACKAGE: &str = "busybox-static";

/// Why there can be no real nodes here, to say when a test is skipped; `None` if there can.
pub fn why_no_real_nodes() -> Option<String> {
    if std::env::var_os(REAL_NODES_VARIABLE).is_some_and(|value| value == "0") {
        return Some(format!("{REAL_NODES_VARIABLE}=0"));
    }
    if std::env::var_os(crate::KUBECONFIG_VARIABLE).is_some_and(|path| !path.is_empty()) {
        return Some(format!("{} names a cluster that the rig does not start", crate::KUBECONFIG_VARIABLE));
    }
    if !cfg!(target_os = "linux") {
        return Some(format!("real nodes need Linux, this is {}", std::env::consts::OS));
    }
    if !rustix::process::getuid().is_root() {
        return Some("real nodes need root: namespaces, mounts and cgroups are made".to_owned());
    }
    None
}

/// Whether a test that needs real nodes is to be skipped, and why. Where CI is root on Linux nothing stands in their way,
/// and a test that is skipped there is skipped everywhere: that is an error.
pub fn skip_real_nodes() -> Result<Option<String>> {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !["", "0", "false"].contains(&value.as_str()));
    let ci = CI_VARIABLES.iter().copied().find(|name| set(name));
    let able = cfg!(target_os = "linux") && rustix::process::getuid().is_root();
    decide(why_no_real_nodes(), ci, able)
}

fn decide(reason: Option<String>, ci: Option<&str>, able: bool) -> Result<Option<String>> {
    match (reason, ci) {
        (Some(reason), Some(ci)) if able => bail!(
            "tests on real nodes would be skipped ({reason}), but this is CI ({ci} is set) and root on Linux, where they \
             must run: take {REAL_NODES_VARIABLE} and {} out of the environment, or {ci} if this is no CI",
            crate::KUBECONFIG_VARIABLE
        ),
        (reason, _) => Ok(reason),
    }
}

/// PATH, and where system programs are if it leaves them out.
pub(super) fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}

/// The static busybox that images are made of.
pub(crate) fn busybox() -> Result<PathBuf> {
    let is_static = |path: &PathBuf| {
        // The path of a loader would stand right behind the headers.
        let head = std::fs::read(path).map(|bytes| bytes.into_iter().take(4096).collect::<Vec<_>>());
        head.is_ok_and(|head| !head.windows(4).any(|window| window == b"/ld-"))
    };
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(is_static);
    found.with_context(|| format!("no static busybox: install the package {BUSYBOX_PACKAGE}"))
}

/// Makes sure that all programs are there.
pub(super) async fn ensure() -> Result<()> {
    if let Some(reason) = why_no_real_nodes() {
        bail!("no real nodes: {reason}");
    }
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if find("apt-get").is_none() {
        bail!("real nodes need programs that are not here: install what Debian has as {list}, then try again");
    }
    eprintln!("cluster: installing {list} with apt-get");
    if install(&missing).await.is_err() {
        // Its lists may be missing or too old.
        apt_get(&["update"]).await.with_context(|| format!("to install {list}"))?;
        install(&missing).await.with_context(|| format!("install {list} by hand, then try again"))?;
    }
    match missing_packages() {
        still if still.is_empty() => Ok(()),
        still => bail!("{} installed, but still without its programs", still.join(" ")),
    }
}

fn missing_packages() -> Vec<&'static str> {
    let mut missing: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if busybox().is_err() {
        missing.push(BUSYBOX_PACKAGE);
    }
    missing.dedup();
    missing
}

fn find(program: &str) -> Option<PathBuf> {
    let path = search_path();
    path.split(':').map(|directory| Path::new(directory).join(program)).find(|candidate| candidate.is_file())
}

async fn install(packages: &[&str]) -> Result<()> {
    // Another rig, or the user, may be installing something.
    let waiting = "-oDPkg::Lock::Timeout=300";
    apt_get(&[&["install", waiting, "--yes", "--no-install-recommends"], packages].concat()).await
}

async fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = tokio::process::Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", search_path())
        .stdin(Stdio::null())
        .output()
        .await
        .context("start apt-get")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("apt-get {}: {}\n{}", arguments.join(" "), output.status, said.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::decide;

    #[test]
    fn only_where_ci_is_root_on_linux_a_skip_is_an_error() {
        let why = || Some("HOMEOSTAT_REAL_NODES=0".to_owned());
        let ci = Some("GITHUB_ACTIONS");
        for (reason, ci, able) in [(why(), None, true), (why(), None, false), (why(), ci, false)] {
            assert_eq!(decide(reason, ci, able).ok(), Some(why()), "skipped, {ci:?} {able}");
        }
        for (ci, able) in [(None, true), (ci, true), (ci, false)] {
            assert_eq!(decide(None, ci, able).ok(), Some(None), "not skipped, {ci:?} {able}");
        }
        let error = decide(why(), ci, true).expect_err("an error").to_string();
        for part in ["(HOMEOSTAT_REAL_NODES=0)", "GITHUB_ACTIONS is set", "take HOMEOSTAT_REAL_NODES"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
