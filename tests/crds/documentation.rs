//! Field comments are the manual: `kubectl explain` shows them. Each says what it is, and, in a policy, what happens
//! without it and what one may write.

use homeostat::api::all_crds;
use serde_json::{Value, json};

use crate::bounds::children;
use crate::schema;

/// Complaints about properties without a description.
fn undocumented(path: &str, schema: &Value) -> Vec<String> {
    let below = children(path, schema);
    let own = below.iter().filter(|(child, _)| !child.ends_with("[]"));
    let silent = own.filter(|(_, child)| child["description"].as_str().is_none_or(str::is_empty));
    let silent = silent.map(|(child, _)| format!("{child} has no description"));
    silent.chain(below.iter().flat_map(|(child, schema)| undocumented(child, schema))).collect()
}

/// Complaints about fields that people write, whose description lacks its default (or "Required"), or an example, or
/// names another default than the schema has.
fn unexplained(path: &str, schema: &Value) -> Vec<String> {
    let mut complaints = vec![];
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let text = field["description"].as_str().unwrap_or_default().replace('\n', " ");
        let says = ["Required.", "Default: ", "Omitted"].iter().filter(|word| text.contains(*word)).count();
        if says == 0 {
            complaints.push(format!("{path}: say `Required.`, or what holds without it (`Default: …`)"));
        }
        if text.contains("Required.") != required(name) {
            complaints.push(format!("{path}: what the text and the schema say about being required differs"));
        }
        if !text.contains("Example: ") {
            complaints.push(format!("{path}: give an example (`Example: …`)"));
        }
        if let (Some(said), false) = (stated_default(&text), field["default"].is_null())
            && said != field["default"]
        {
            complaints.push(format!("{path}: the text says {said}, the schema says {}", field["default"]));
        }
        complaints.extend(unexplained(&path, field));
    }
    complaints
}

/// The default that a description states: in backquotes, or up to the end of its sentence.
fn stated_default(text: &str) -> Option<Value> {
    let (_, rest) = text.split_once("Default: ")?;
    let said = match rest.strip_prefix('`') {
        Some(quoted) => quoted.split('`').next()?,
        None => rest.split([' ', '.']).next()?,
    };
    serde_saphyr::from_str(said).ok()
}

#[test]
fn every_property_has_a_description() {
    for crd in all_crds() {
        let kind = &crd.spec.names.kind;
        assert_eq!(undocumented(kind, &schema(kind)).join("\n"), "");
    }
}

#[test]
fn every_field_that_people_write_says_its_default_and_an_example() {
    for kind in ["RecoveryPolicy", "RecoveryBudget"] {
        let schema = schema(kind);
        assert_eq!(unexplained("spec", &schema["properties"]["spec"]).join("\n"), "", "{kind}");
    }
}

#[test]
fn what_people_write_on_our_records_says_its_default() {
    for (kind, fields) in [("Recovery", ["approval", "abort", "failback"].as_slice()), ("StableState", &["review"])] {
        let spec = &schema(kind)["properties"]["spec"]["properties"];
        for field in fields {
            let alone = json!({"properties": {*field: spec[field]}});
            let complaints = unexplained(kind, &alone);
            let of_field: Vec<_> = complaints.iter().filter(|c| !c.contains("approval.decision")).collect();
            assert!(of_field.is_empty(), "{of_field:?}");
        }
    }
}

#[test]
fn silence_and_untruth_are_found() {
    let bad = json!({"properties": {
        "silent": {},
        "wrong": {"description": "How many. Default: 3. Example: `4`.", "default": 5},
        "demanded": {"description": "Which. Default: none. Example: `a`."},
        "nested": {"description": "Parts. Default: `{a: 1}`. Example: `{a: 2}`.", "default": {"a": 1, "b": 2}},
    }, "required": ["demanded"]});
    assert_eq!(undocumented("x", &bad), ["x.silent has no description"]);
    let found = unexplained("x", &bad).join("\n");
    for complaint in
        ["x.silent: say", "x.silent: give an example", "x.wrong: the text says 3", "x.demanded: what", "x.nested"]
    {
        assert!(found.contains(complaint), "{complaint} not in {found}");
    }
}

#[test]
fn a_rule_says_how_to_fix_what_it_refuses() {
    fn rules(schema: &Value, found: &mut Vec<Value>) {
        found.extend(schema["x-kubernetes-validations"].as_array().into_iter().flatten().cloned());
        children("", schema).iter().for_each(|(_, child)| rules(child, found));
    }
    let mut found = vec![];
    all_crds().iter().for_each(|crd| rules(&schema(&crd.spec.names.kind), &mut found));
    assert!(found.len() >= 8, "rules are missing: {found:?}");
    for rule in found {
        let message = rule["message"].as_str().unwrap_or_default();
        let advice =
            ["set ", "write ", "name ", "delete ", "cannot be changed"].iter().any(|word| message.contains(word));
        assert!(advice, "{rule} does not say what to do");
    }
}
