//! Container images without a registry and without a container engine: one layer of files that a test gives, and how to
//! start them. Must not read anything but what it is told to.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::real::requirements;

/// Ends at once when it is asked to, which a shell as first process would not do by itself.
const IDLE: [&str; 3] = ["/bin/sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"];

/// An image to load into the nodes of a cluster with real nodes, see [`crate::Cluster::load_image`].
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    user: String,
    environment: Vec<String>,
    entrypoint: Vec<String>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    Directory { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { target: String },
}

impl Image {
    /// An image with nothing in it. Give the name a host and a tag, as in `homeostat.test/web:1`: without a host it
    /// would become a name of Docker Hub, and with the tag `latest` kubelet would want to pull it.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            user: String::new(),
            environment: Vec::new(),
            entrypoint: Vec::new(),
            entries: BTreeMap::new(),
        }
    }

    /// An image with a shell and the usual tools, which does nothing until it is asked to end: this machine's static
    /// busybox. Its `httpd` serves, its `nc` asks; there is no `wget`.
    pub fn busybox(name: &str) -> Result<Self> {
        let program = requirements::busybox()?;
        let list = Command::new(&program).arg("--list").output().context("start busybox")?;
        let content = std::fs::read(&program).with_context(|| format!("read {}", program.display()))?;
        let mut image = Self::new(name).file("/bin/busybox", 0o755, content).directory("/tmp", 0o1777);
        // Debian's static `wget` crashes.
        let tools = String::from_utf8_lossy(&list.stdout);
        for tool in tools.lines().filter(|tool| !["busybox", "wget"].contains(tool)) {
            image = image.link(&format!("/bin/{tool}"), "busybox");
        }
        Ok(image.environment("PATH", "/bin").entrypoint(&IDLE))
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.entry(path, Entry::File { mode, content: content.into() })
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, Entry::Link { target: target.to_owned() })
    }

    /// Adds a directory. Parents of what is added are there anyway.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, Entry::Directory { mode })
    }

    /// Adds a folder of this machine with everything in it, as `path`.
    pub fn folder(mut self, from: &Path, path: &str) -> Result<Self> {
        for found in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
            let found = found?.path();
            let name = found.file_name().and_then(|name| name.to_str());
            let name = name.with_context(|| format!("the name of {} is no text", found.display()))?;
            let inside = format!("{}/{name}", path.trim_end_matches('/'));
            let metadata = found.symlink_metadata().with_context(|| format!("look at {}", found.display()))?;
            let mode = metadata.permissions().mode() & 0o7777;
            self = if metadata.is_symlink() {
                let target = std::fs::read_link(&found)?;
                self.link(&inside, &target.to_string_lossy())
            } else if metadata.is_dir() {
                self.directory(&inside, mode).folder(&found, &inside)?
            } else {
                let content = std::fs::read(&found).with_context(|| format!("read {}", found.display()))?;
                self.file(&inside, mode, content)
            };
        }
        Ok(self)
    }

    /// What a container starts, unless its pod says otherwise.
    #[must_use]
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Who runs it: numbers, as in `65532:65532`, need no `/etc/passwd`. Root by default.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// The image's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A name for files.
    pub(crate) fn file_name(&self) -> String {
        self.name.replace(|character: char| !character.is_ascii_alphanumeric(), "-")
    }

    /// Writes an archive that `ctr images import` and `docker load` understand; gives the image's id. The same content
    /// gives the same id.
    pub(crate) fn write(&self, archive: &Path) -> Result<String> {
        let tagged = self.name.rsplit_once(':').is_some_and(|(_, tag)| !tag.contains('/'));
        if !tagged {
            bail!("image {}: give it a tag, as in {}:1", self.name, self.name);
        }
        let layer = self.layer()?;
        let config = serde_json::to_vec(&json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"User": self.user, "Env": self.environment, "Entrypoint": self.entrypoint, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        }))?;
        let manifest = json!([{"Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"]}]);
        let file = File::create(archive).with_context(|| format!("create {}", archive.display()))?;
        let mut outer = Builder::new(file);
        for (name, content) in
            [("manifest.json", &serde_json::to_vec(&manifest)?), ("config.json", &config), ("layer.tar", &layer)]
        {
            append(&mut outer, name, &Entry::File { mode: 0o644, content: content.clone() })?;
        }
        outer.into_inner().with_context(|| format!("write {}", archive.display()))?;
        Ok(digest(&config))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            append(&mut layer, path, entry).with_context(|| format!("image {}: /{path}", self.name))?;
        }
        Ok(layer.into_inner()?)
    }

    fn entry(mut self, path: &str, entry: Entry) -> Self {
        let path = path.trim_matches('/');
        for (index, _) in path.match_indices('/') {
            self.entries.entry(path[..index].to_owned()).or_insert(Entry::Directory { mode: 0o755 });
        }
        self.entries.insert(path.to_owned(), entry);
        self
    }
}

/// Everything belongs to root and is from 1970.
fn append<W: std::io::Write>(archive: &mut Builder<W>, path: &str, entry: &Entry) -> Result<()> {
    let mut header = Header::new_gnu();
    let (kind, mode, content) = match entry {
        Entry::Directory { mode } => (EntryType::Directory, *mode, [].as_slice()),
        Entry::File { mode, content } => (EntryType::Regular, *mode, content.as_slice()),
        Entry::Link { .. } => (EntryType::Symlink, 0o777, [].as_slice()),
    };
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    match entry {
        Entry::Link { target } => archive.append_link(&mut header, path, target)?,
        _ => archive.append_data(&mut header, path, content)?,
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// This machine's architecture, as images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn an_archive_holds_what_was_added_and_is_always_the_same() -> anyhow::Result<()> {
        let image = Image::new("homeostat.test/a:1").file("/etc/deep/file", 0o600, "text").link("/l", "etc/deep/file");
        let path = std::env::temp_dir().join(format!("image-test-{}.tar", std::process::id()));
        let (first, second) = (image.write(&path)?, image.write(&path)?);
        std::fs::remove_file(&path)?;
        assert_eq!(first, second);
        let layer = image.layer()?;
        let mut names = Vec::new();
        for entry in tar::Archive::new(layer.as_slice()).entries()? {
            names.push(entry?.path()?.display().to_string());
        }
        assert_eq!(names, ["etc", "etc/deep", "etc/deep/file", "l"]);
        assert!(Image::new("no-tag").write(&path).is_err());
        Ok(())
    }
}
