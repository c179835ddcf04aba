//! What Pod Security lets into a namespace, and what it only tells of, by the namespace's labels.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Place;

/// The mode that refuses pods; the others tell of them.
pub(in crate::plan) const ENFORCE: &str = "enforce";
/// Every mode, each of which is a place.
const MODES: [&str; 3] = [ENFORCE, "audit", "warn"];

/// What passes in each mode.
pub(super) fn places(content: &Value) -> BTreeMap<String, Place> {
    let label = |name: &str| content.get("metadata")?.get("labels")?.get(name)?.as_str();
    let place = |mode: &str| {
        let level = label(&format!("pod-security.kubernetes.io/{mode}"));
        let mut allows = BTreeSet::new();
        if level != Some("restricted") {
            allows.insert("more than restricted".to_owned());
        }
        if level.is_none_or(|level| level != "restricted" && level != "baseline") {
            allows.insert("more than baseline".to_owned());
        } else if let Some(version) = label(&format!("pod-security.kubernetes.io/{mode}-version")) {
            // Which of two versions is stricter cannot be told.
            allows.insert(format!("what {version} allows"));
        }
        (mode.to_owned(), Place { allows, ..Place::default() })
    };
    MODES.into_iter().map(place).collect()
}
