//! Every reason has its section in docs/reasons.md, in the order of the enum, and no section is about nothing.

use homeostat::api::Reason;

use crate::read;

/// Headings of the third level: the reasons. The second level groups them.
fn headings(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("### ")).map(str::trim).collect()
}

/// Sections that do not say all three things.
fn incomplete(text: &str) -> Vec<String> {
    let sections = text.split("\n### ").skip(1);
    let parts = ["**Means:**", "**Homeostat:**", "**You:**"];
    sections
        .flat_map(|section| {
            let name = section.lines().next().unwrap_or_default().to_owned();
            let silent = parts.into_iter().filter(move |part| !section.contains(part));
            silent.map(move |part| format!("{name} has no {part}"))
        })
        .collect()
}

#[test]
fn every_reason_has_a_section_and_every_section_a_reason() {
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(headings(&read("docs/reasons.md")), reasons);
}

#[test]
fn every_section_says_what_it_means_what_we_do_and_what_to_do() {
    assert_eq!(incomplete(&read("docs/reasons.md")), [""; 0]);
}

#[test]
fn a_gap_is_found() {
    let text = "# Reasons\n\n## Group\n\n### Armed\n\n**Means:** a. **Homeostat:** b.\n\n### Nothing\n";
    assert_eq!(headings(text), ["Armed", "Nothing"]);
    assert_eq!(incomplete(text).len(), 4);
}
