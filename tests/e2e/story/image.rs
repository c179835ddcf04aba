//! The operator's image as the Dockerfile's final stage describes it, and the patient's, without a registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cluster::{Image, binaries};

/// The parts of the operator's image name.
pub const HOST: &str = "homeostat.test";
pub const NAME: &str = "homeostat";
pub const TAG: &str = "v1";

const DOCKERFILE: &str = include_str!("../../../Dockerfile");

/// What a stage of the Dockerfile says about how its image is run.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    user: String,
    entrypoint: String,
}

fn stage(name: &str) -> Result<Stage> {
    let start = format!("FROM ${{RUNTIME_IMAGE}} AS {name}");
    let lines = DOCKERFILE.lines().skip_while(|line| *line != start).skip(1);
    let lines: Vec<_> = lines.take_while(|line| !line.starts_with("FROM ")).collect();
    let value = |key: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim().to_owned()).with_context(|| format!("stage {name} has no {key}"))
    };
    let entrypoint: Vec<String> = serde_json::from_str(&value("ENTRYPOINT")?)?;
    let [entrypoint] = entrypoint.as_slice() else { anyhow::bail!("an entrypoint of one word was expected") };
    Ok(Stage { user: value("USER")?, entrypoint: entrypoint.clone() })
}

/// The Dockerfile's final stage over a base that has the C library: the binary of a test is not a static one.
pub fn operator(binary: &Path) -> Result<Image> {
    let prebuilt = stage("prebuilt")?;
    ensure!(prebuilt == stage("source")?, "the two ways to the image run it differently");
    let image = Image::new(&format!("{HOST}/{NAME}:{TAG}")).entrypoint(&[&prebuilt.entrypoint]).user(&prebuilt.user);
    with_program(image, binary, &prebuilt.entrypoint)
}

/// The patient, built as an example of this package.
pub fn patient() -> Result<Image> {
    patient_release("1")
}

/// A release of the patient that is slow: its answers come later than anybody waits for them.
pub fn slow() -> Result<Image> {
    Ok(patient_release("slow")?.environment("MODE", "late-1500ms"))
}

fn patient_release(tag: &str) -> Result<Image> {
    let own = std::env::current_exe()?;
    let binary = own.ancestors().nth(2).context("no target folder")?.join("examples/patient");
    ensure!(binary.is_file(), "{} is not there: cargo build --example patient", binary.display());
    let image = Image::new(&format!("homeostat.test/patient:{tag}")).entrypoint(&["/patient"]).user("65532:65532");
    with_program(image, &binary, "/patient")
}

/// CoreDNS for pods of a test's own.
pub async fn coredns() -> Result<Image> {
    let program = binaries::node().await?.join("coredns");
    let content = std::fs::read(&program).with_context(|| format!("read {}", program.display()))?;
    let image = Image::new("homeostat.test/coredns:1").entrypoint(&["/coredns"]).user("65532:65532");
    Ok(image.file("/coredns", 0o555, content))
}

/// An image for another kind of processor: its program is none that this machine can start.
pub fn foreign() -> Image {
    let program = b"\x7fELF\x02\x01\x01 of another machine".to_vec();
    let image = Image::new("homeostat.test/patient:foreign").entrypoint(&["/patient"]).user("65532:65532");
    image.file("/patient", 0o555, program)
}

/// The program without what only a debugger reads, and the libraries that it is linked with.
fn with_program(image: Image, binary: &Path, path: &str) -> Result<Image> {
    let stripped = std::env::temp_dir().join(format!("{}{}", std::process::id(), path.replace('/', "-")));
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(binary).status();
    let program = if strip.is_ok_and(|status| status.success()) { stripped.clone() } else { binary.to_owned() };
    let content = std::fs::read(&program).with_context(|| format!("read {}", program.display()))?;
    // Only a temporary file is left if this fails.
    let _ = std::fs::remove_file(&stripped);
    let mut image = image.file(path, 0o555, content);
    for library in libraries(binary)? {
        let content = std::fs::read(&library).with_context(|| format!("read {}", library.display()))?;
        image = image.file(&library.to_string_lossy(), 0o755, content);
    }
    Ok(image)
}

fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let listed = Command::new("ldd").arg(binary).output().context("start ldd")?;
    let text = String::from_utf8(listed.stdout)?;
    let paths = text.lines().flat_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}
