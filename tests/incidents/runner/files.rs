//! What incident files are told when they cannot be used, and which are run. Nothing is run here.

#![allow(dead_code, reason = "what is run with the files is in the other test")]

mod file;
mod reading;

use std::path::{Path, PathBuf};

use reading::Choice;

const GOOD: &str = "class: no-fault-control
title: Nothing happens
ideal: hold
given:
  - web: {replicas: 3}
  - wait: {stable: web}
inject: []
expect:
  finally:
    - serving: {app: web, pods: 3}
";

/// A folder of a user's own, gone when this value is.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("homeostat-incidents-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::write(path.join(format!("{name}.yaml")), text).expect("a file");
        Self(path)
    }

    fn chosen(&self) -> Choice {
        Choice { folder: self.0.clone(), only: None, sample: false }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The one line that a changed file is refused with, without its folder.
fn refused(name: &str, from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let folder = Folder::with(name, &GOOD.replace(from, to));
    let error = format!("{:#}", folder.chosen().read().expect_err(name));
    let head = "1 of 1 files cannot be used:\n";
    let line = error.strip_prefix(head).unwrap_or_else(|| panic!("{error}"));
    assert!(!line.contains('\n'), "{line}");
    line.replace(&format!("{}/", folder.0.display()), "")
}

#[test]
fn a_broken_file_is_refused_with_line_and_remedy() {
    let wait = "wait: {stable: web}";
    let format = "the format is in tests/incidents/README.md";
    for (name, from, to, line, says, remedy) in [
        ("unknown-step", wait, "explode: {app: web}", 6, "unknown variant `explode`", "use one of these"),
        ("unknown-field", "title:", "titel:", 2, "unknown field `titel`", "use one of these"),
        ("missing-field", wait, "wait: {ready: {app: web}}", 6, "missing field `pods`", "add `pods`"),
        ("wrong-type", wait, "scale: {name: web, replicas: many}", 6, "invalid i32", "write a whole number"),
        ("wrong-shape", "Nothing happens", "[Nothing]", 2, "string", "wrong shape"),
        ("unknown-ideal", "ideal: hold", "ideal: perfect", 3, "unknown variant `perfect`", "rollback, isolate"),
    ] {
        let error = refused(name, from, to);
        assert!(error.starts_with(&format!("{name}.yaml:{line}: ")), "{error}");
        assert!(error.contains(says) && error.contains(remedy) && error.ends_with(format), "{error}");
    }
}

#[test]
fn a_file_that_says_what_cannot_be_is_refused_with_line_and_remedy() {
    let serving = "serving: {app: web, pods: 3}";
    for (name, from, to, line, remedy) in [
        ("unknown-class", "no-fault-control", "no-fault-contrl", 1, "is `no-fault-control` meant?"),
        ("impossible-class", "no-fault-control", "poison-message-or-lock", 1, "leave `class` out"),
        ("other-ideal", "ideal: hold", "ideal: rollback", 3, "write `ideal: hold`"),
        ("fake-shop", "web: {replicas: 3}", "shop: {}", 5, "add `nodes: real`"),
        ("real-web", "ideal: hold", "nodes: real\nideal: hold", 6, "use `shop`"),
        ("no-client", serving, "answers: good", 10, "add `shop` to `given`"),
        ("no-measure", "inject: []", "inject: [silenceProvider]", 7, "add `measured: true`"),
        ("no-shop", "ideal: hold", "measured: true\nideal: hold", 3, "add `shop` to `given`"),
        ("no-check", "finally:\n    - serving: {app: web, pods: 3}", "finally: []", 9, "to `finally`"),
        ("allowed-hold", "expect:", "expect:\n  allowed: [patch deployments/web]", 9, "take `allowed` out"),
    ] {
        let error = refused(name, from, to);
        assert!(error.starts_with(&format!("{name}.yaml:{line}: ")) && error.contains(remedy), "{error}");
    }
}

#[test]
fn a_file_of_a_foreign_folder_is_run() {
    let folder = Folder::with("mine", GOOD);
    let chosen = folder.chosen().read().expect("a good file");
    assert_eq!(chosen.iter().map(|incident| incident.name.as_str()).collect::<Vec<_>>(), ["mine"]);
    let only = |name: &str| Choice { only: Some(name.to_owned()), ..folder.chosen() }.read();
    assert_eq!(only("min").expect("the same file").len(), 1);
    assert!(only("yours").expect_err("no such file").to_string().ends_with("has ONLY=yours in its name"));
}

#[test]
fn every_own_file_can_be_used_and_every_class_has_a_file_or_an_excuse() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incidents");
    let excuses = std::fs::read_to_string(folder.join("NOT-HERE.md")).expect("NOT-HERE.md");
    let incidents = Choice { folder, only: None, sample: false }.read().expect("the project's own files");
    for class in reading::classes().expect("classes") {
        let has_file = incidents.iter().any(|incident| incident.class.as_deref() == Some(&class.id));
        let has_excuse = excuses.contains(&format!("| `{}` |", class.id));
        assert!(has_file != has_excuse, "class {}: file {has_file}, excuse {has_excuse}", class.id);
    }
}
