//! docs/triage.md: each branch of a decision has a row, and each row names a test that exists.

use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/triage.md");
const REASONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/reason.rs");
/// What a decision falls back to where the code has no branch; nothing leads there.
const UNREACHED: [&str; 1] = ["CauseUnknown"];

/// The cells of all rows of a page, headings and lines excepted.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Rows whose last cell names no test that exists, by a way to look into the file of a module.
fn untested(page: &str, text_of: impl Fn(&str) -> String) -> Vec<String> {
    let exists = |named: &str| {
        let (module, name) = named.trim_matches('`').split_once("::")?;
        text_of(module).contains(&format!("fn {name}(")).then_some(())
    };
    let missing = rows(page).into_iter().filter(|row| row.last().and_then(|named| exists(named)).is_none());
    missing.map(|row| row.join(" | ")).collect()
}

/// Reasons of decisions, of which no row says anything.
fn unsaid(page: &str, reasons: &str) -> Vec<String> {
    let section = reasons.split("// ---- of a decision").nth(1).unwrap_or_default();
    let section = section.split("// ---- ").next().unwrap_or_default();
    let names = section.lines().map(str::trim).filter(|line| !line.starts_with("//") && line.ends_with(','));
    let names = names.map(|line| line.trim_end_matches(',')).filter(|name| !UNREACHED.contains(name));
    names.filter(|name| !page.contains(&format!("| `{name}` |"))).map(str::to_owned).collect()
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn tests_of(module: &str) -> String {
    ["scenarios", "e2e/stories"]
        .map(|place| read(format!("{}/tests/{place}/{module}.rs", env!("CARGO_MANIFEST_DIR"))))
        .concat()
}

#[test]
fn every_branch_names_a_test_that_exists() {
    let page = read(PAGE);
    assert!(rows(&page).len() > 50, "only {} rows", rows(&page).len());
    assert_eq!(untested(&page, tests_of).join("\n"), "");
}

#[test]
fn every_reason_of_a_decision_has_a_row() {
    assert_eq!(unsaid(&read(PAGE), &read(REASONS)).join("\n"), "");
}

#[test]
fn a_row_without_a_test_and_a_reason_without_a_row_are_found() {
    let page = "| evidence | reason | test |\n|---|---|---|\n| a | `One` | `known::there` |\n| b | `Two` | `known::gone` |\n| c | | |";
    assert_eq!(untested(page, |_| "fn there() {}".to_owned()).len(), 2);
    let reasons = "// ---- of a decision\n    /// Words.\n    One,\n    Three,\n    // ---- of an outcome\n    Four,";
    assert_eq!(unsaid(page, reasons), ["Three"]);
}
