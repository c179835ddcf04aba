//! The shape of the code: who may name whom, how long things may be, and which names say nothing.
//!
//! Each rule is a plain function from sources to complaints, and is tried on a bad sample as well: a test that cannot
//! fail watches nothing.

mod direction;
mod names;
mod size;
mod source;
mod triage;

use source::{Source, sources};

/// Runs a rule over all sources of the operator.
fn complaints(rule: impl Fn(&Source) -> Vec<String>) -> String {
    let found: Vec<String> = sources().iter().flat_map(rule).collect();
    found.join("\n")
}

#[test]
fn the_plan_and_the_api_name_nothing_impure() {
    assert_eq!(complaints(direction::impure), "");
}

#[test]
fn dependencies_point_one_way() {
    assert_eq!(complaints(direction::backward), "");
}

#[test]
fn kubernetes_types_stop_at_the_edges() {
    assert_eq!(complaints(direction::kubernetes_types), "");
}

#[test]
fn files_and_functions_are_short() {
    assert_eq!(complaints(size::too_long), "");
}

#[test]
fn names_say_something() {
    assert_eq!(complaints(names::empty_words), "");
}

#[test]
fn there_is_something_to_look_at() {
    let paths: Vec<String> = sources().into_iter().map(|source| source.path).collect();
    for expected in ["src/plan/mod.rs", "src/api/policy.rs", "src/act/mod.rs", "src/main.rs"] {
        assert!(paths.iter().any(|path| path == expected), "{expected} is not among {paths:?}");
    }
}
