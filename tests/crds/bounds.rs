//! Everything in a schema has a bound: the API server refuses rules whose cost it cannot bound, and an object without
//! bounds can be made too large to be read by anyone.

use homeostat::api::all_crds;
use serde_json::{Value, json};

use crate::schema;

/// What is not ours to bound, and why.
const FOREIGN: [Exception; 2] = [
    ("Condition: a type of Kubernetes; the list of them is bounded", |path, _| path.ends_with(".conditions[]")),
    ("MicroTime: a string in a fixed format", |_, schema| schema["format"] == "date-time"),
];

type Exception = (&'static str, fn(&str, &Value) -> bool);

/// Complaints about what has no bound, each with its path.
pub fn unbounded(path: &str, schema: &Value) -> Vec<String> {
    if FOREIGN.iter().any(|(_, is)| is(path, schema)) {
        return vec![];
    }
    let has = |key: &str| !schema[key].is_null();
    let demand = |fulfilled: bool, what: &str| (!fulfilled).then(|| format!("{path}: {what}"));
    let type_ = schema["type"].as_str().unwrap_or_default();
    let complaint = match type_ {
        "string" => demand(has("maxLength") || has("enum"), "a string without maxLength or enum"),
        "array" => demand(has("maxItems") && has("items"), "a list without maxItems"),
        "integer" | "number" => demand(has("minimum"), "a number without minimum"),
        "object" if has("additionalProperties") => demand(has("maxProperties"), "a map without maxProperties"),
        "object" => demand(has("properties"), "an object without properties"),
        "boolean" => None,
        _ => Some(format!("{path}: of no type")),
    };
    let formats = ["int32", "int64", "float", "double", "date-time"];
    let format = schema["format"].as_str().filter(|format| !formats.contains(format));
    let format = format.map(|format| format!("{path}: the API server warns of the format {format}"));
    let open = demand(!has("x-kubernetes-preserve-unknown-fields"), "unknown fields are kept");
    let below = children(path, schema);
    let below = below.iter().flat_map(|(path, schema)| unbounded(path, schema));
    [complaint, format, open].into_iter().flatten().chain(below).collect()
}

/// The schemas below one, with their paths.
pub fn children<'a>(path: &str, schema: &'a Value) -> Vec<(String, &'a Value)> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut found: Vec<(String, &Value)> = properties.map(|(name, child)| (format!("{path}.{name}"), child)).collect();
    let inner = ["items", "additionalProperties"].into_iter().filter(|key| schema[key].is_object());
    found.extend(inner.map(|key| (format!("{path}[]"), &schema[key])));
    found
}

#[test]
fn everything_has_a_bound() {
    for crd in all_crds() {
        let kind = &crd.spec.names.kind;
        assert_eq!(unbounded(kind, &schema(kind)).join("\n"), "");
    }
}

#[test]
fn what_has_no_bound_is_found() {
    let bad = json!({"type": "object", "properties": {
        "text": {"type": "string"},
        "list": {"type": "array", "items": {"type": "integer"}},
        "map": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 3}},
        "any": {"x-kubernetes-preserve-unknown-fields": true, "type": "object", "properties": {}},
        "untyped": {},
        "odd": {"type": "integer", "format": "uint32", "minimum": 0},
        "fine": {"type": "string", "enum": ["A"]},
        "time": {"type": "string", "format": "date-time"},
    }});
    let found = unbounded("Bad", &bad);
    for path in ["Bad.text:", "Bad.list:", "Bad.list[]:", "Bad.map:", "Bad.any:", "Bad.untyped:", "Bad.odd:"] {
        assert!(found.iter().any(|complaint| complaint.starts_with(path)), "{path} not in {found:?}");
    }
    assert_eq!(found.len(), 7, "{found:?}");
}
