//! The interface as the API server gets it: generated files, bounds, documentation, rules, samples, reasons.
//!
//! Each check is a plain function, and is tried on something bad as well. No cluster is needed.

mod bounds;
mod documentation;
mod reasons;
mod rules;
mod samples;

use std::fs;
use std::path::{Path, PathBuf};

use homeostat::api::all_crds;
use serde_json::Value;

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn read(relative: &str) -> String {
    fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}; run `make generate`"))
}

/// The schema of a kind, as JSON.
fn schema(kind: &str) -> Value {
    let crd = all_crds().into_iter().find(|crd| crd.spec.names.kind == kind).expect("a kind of ours");
    let schema = crd.spec.versions.into_iter().next().and_then(|version| version.schema).expect("a schema");
    serde_json::to_value(schema.open_api_v3_schema).expect("a schema is JSON")
}

#[test]
fn generated_files_are_what_the_types_say() {
    let mut expected: Vec<String> = vec![];
    for crd in all_crds() {
        let file = format!("{}.yaml", crd.spec.names.plural);
        let text = serde_saphyr::to_string(&crd).expect("a CRD is YAML");
        let same = read(&format!("crds/{file}")) == text;
        assert!(same, "crds/{file} is not what src/api says: run `make generate`");
        expected.push(file);
    }
    let entries = fs::read_dir(path("crds")).expect("crds/").map(|entry| entry.expect("an entry").file_name());
    let mut found: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "crds/ holds a file of no kind: run `make generate`");
}

#[test]
fn a_generated_file_reads_back_as_the_same_object() {
    for crd in all_crds() {
        let text = read(&format!("crds/{}.yaml", crd.spec.names.plural));
        let value: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(value, serde_json::to_value(&crd).expect("a CRD is JSON"));
    }
}
