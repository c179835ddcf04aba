//! `main → controller → {observe, act, leader, metrics} → plan → api`, and what stays out of the pure part.

use crate::source::{Source, block_end, is_word};

/// What the pure part must not name: clients, runtimes, clocks, files, environment, and everything above it.
const IMPURE: [&str; 19] = [
    "kube::Client",
    "kube::Api",
    "kube::api::Api",
    "kube::client",
    "kube::runtime",
    "tokio",
    "getrandom",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "std::fs",
    "crate::observe",
    "crate::act",
    "crate::controller",
    "crate::leader",
    "crate::clock",
    "crate::metrics",
];

/// Modules at the root, and the modules that each may name beside itself. `main.rs` and `lib.rs` see everything.
const MAY_NAME: [(&str, &[&str]); 12] = [
    ("api", &[]),
    ("plan", &["api"]),
    ("clock", &[]),
    ("client", &[]),
    ("metrics", &["api", "plan"]),
    ("leader", &["api", "clock"]),
    ("observe", &["api", "plan", "clock"]),
    ("act", &["api", "plan", "clock", "leader"]),
    ("settings", &["api", "leader"]),
    ("telemetry", &["settings"]),
    ("admin", &["metrics"]),
    // Subcommands read and show: they take the eyes and the plan, never the controller.
    ("cli", &["api", "plan", "observe", "act", "client", "clock", "settings", "leader"]),
];

/// Kubernetes' own types belong to these.
const EDGES: [&str; 4] = ["observe", "act", "leader", "cli"];
/// Events name the objects that they are about.
const EDGE_FILES: [&str; 1] = ["src/controller/announce.rs"];
/// Parts of our own interface that every Kubernetes object has; they are used everywhere.
const META_TYPES: [&str; 3] = ["Condition", "MicroTime", "Time"];

/// Complains about what the plan and the api must not name.
pub fn impure(source: &Source) -> Vec<String> {
    if !matches!(source.module(), "plan" | "api") {
        return vec![];
    }
    let spelled = crate_modules(&source.code).into_iter().map(|module| format!("crate::{module}"));
    let spelled: Vec<String> = spelled.collect();
    let named = |name: &str| contains_path(&source.code, name) || spelled.iter().any(|path| path == name);
    IMPURE.iter().filter(|name| named(name)).map(|name| format!("{} names {name}", source.path)).collect()
}

/// Complains about a module that names one which is not below it.
pub fn backward(source: &Source) -> Vec<String> {
    let module = source.module();
    if matches!(module, "main" | "lib" | "controller") {
        let up = crate_modules(&source.code).into_iter().find(|named| module == "controller" && named == "cli");
        return up.map(|named| format!("{} names crate::{named}", source.path)).into_iter().collect();
    }
    let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: say in tests/architecture/direction.rs what {module} may name", source.path)];
    };
    let named = crate_modules(&source.code);
    let wrong = named.into_iter().filter(|named| named != module && !allowed.contains(&named.as_str()));
    wrong.map(|named| format!("{} names crate::{named}", source.path)).collect()
}

/// Complains about Kubernetes' types away from the edges.
pub fn kubernetes_types(source: &Source) -> Vec<String> {
    let module = source.module();
    if EDGES.contains(&module) || EDGE_FILES.contains(&source.path.as_str()) {
        return vec![];
    }
    let ours =
        |leaf: &String| META_TYPES.contains(&leaf.as_str()) || (module == "api" && leaf == "CustomResourceDefinition");
    let wrong = leaves(&source.code, "k8s_openapi::").into_iter().filter(|leaf| !ours(leaf));
    wrong.map(|leaf| format!("{} names k8s_openapi's {leaf}", source.path)).collect()
}

fn contains_path(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| {
        let before = code[..at].chars().last().is_some_and(is_word);
        let after = code[at + path.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

/// First segments after `crate::`, those in braces included.
fn crate_modules(code: &str) -> Vec<String> {
    let starts = code.match_indices("crate::").filter(|(at, _)| !code[..*at].chars().last().is_some_and(is_word));
    let mut found: Vec<String> = starts
        .flat_map(|(at, _)| {
            let rest = &code[at + "crate::".len()..];
            match rest.starts_with('{') {
                true => entries(rest).into_iter().map(|entry| word(&entry)).collect(),
                false => vec![word(rest)],
            }
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Last segments of all paths that begin with `root`.
fn leaves(code: &str, root: &str) -> Vec<String> {
    code.match_indices(root)
        .flat_map(|(at, _)| {
            let rest = &code[at + root.len()..];
            let end = rest.find(|c: char| !is_word(c) && c != ':').unwrap_or(rest.len());
            let (path, after) = rest.split_at(end);
            match after.starts_with('{') {
                true => entries(after).iter().map(|entry| last(entry)).collect(),
                false => vec![last(path)],
            }
        })
        .collect()
}

/// The parts of a list in braces, whatever is nested in them.
fn entries(list: &str) -> Vec<String> {
    let inner = &list[1..block_end(list, 0) - 1];
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in inner.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match (c, depth, parts.last_mut()) {
            (',', 0, _) => parts.push(String::new()),
            (_, _, Some(part)) => part.push(c),
            (_, _, None) => {}
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

fn last(path: &str) -> String {
    let path = path.split_whitespace().next().unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path).to_owned()
}

#[test]
fn an_impure_plan_is_found() {
    let bad =
        Source::new("src/plan/bad.rs", "use crate::{api, clock};\nuse std::fs::File;\nfn f() { Timestamp::now() }");
    let found = impure(&bad).join(" ");
    for name in ["crate::clock", "std::fs", "Timestamp::now"] {
        assert!(found.contains(name), "{name} not in {found}");
    }
    let good = Source::new(
        "src/plan/good.rs",
        "// tokio\nuse crate::api::Reason;\nfn f(tokio_like: u8) -> &str { \"std::env\" }",
    );
    assert!(impure(&good).is_empty());
    assert!(impure(&Source::new("src/act/other.rs", "use tokio::time;")).is_empty());
}

#[test]
fn a_dependency_upwards_is_found() {
    for (path, text) in [
        ("src/act/bad.rs", "use crate::controller::Operator;"),
        ("src/plan/bad.rs", "fn f() { crate::observe::look() }"),
        ("src/observe/bad.rs", "use crate::{api::Reason, act};"),
        ("src/controller/bad.rs", "use crate::cli::check;"),
        ("src/new_module.rs", ""),
    ] {
        assert_eq!(backward(&Source::new(path, text)).len(), 1, "{path}");
    }
    let good = "use crate::api::{mark, Reason};\npub(crate) fn f() { crate::plan::step() }\nuse crate::act::Error;";
    assert!(backward(&Source::new("src/act/good.rs", good)).is_empty());
}

#[test]
fn a_kubernetes_type_in_the_plan_is_found() {
    let text = "use k8s_openapi::api::core::v1::{Pod, Service as S};\n\
                use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;";
    let found = kubernetes_types(&Source::new("src/plan/bad.rs", text));
    assert_eq!(found, ["src/plan/bad.rs names k8s_openapi's Pod", "src/plan/bad.rs names k8s_openapi's Service"]);
    assert!(kubernetes_types(&Source::new("src/observe/good.rs", text)).is_empty());
    let crds = "use k8s_openapi::x::v1::CustomResourceDefinition;";
    assert!(kubernetes_types(&Source::new("src/api/good.rs", crds)).is_empty());
    assert_eq!(kubernetes_types(&Source::new("src/plan/bad.rs", crds)).len(), 1);
}
