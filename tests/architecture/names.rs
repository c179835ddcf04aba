//! Names that say nothing about what is inside: everything can be put there, and everything will be.

use crate::source::{Source, is_word};

const WORDS: [&str; 4] = ["util", "utils", "helper", "helpers"];
const WHOLE: [&str; 4] = ["manager", "managers", "handle", "process"];
const BEGINNINGS: [&str; 2] = ["handle_", "process_"];

/// Complains about files, modules and functions with such a name.
pub fn empty_words(source: &Source) -> Vec<String> {
    let parts = source.path.trim_end_matches(".rs").split('/').map(str::to_owned);
    let declared = ["fn ", "mod "].into_iter().flat_map(|keyword| declarations(&source.code, keyword));
    let bad = parts.chain(declared).filter(|name| says_nothing(name));
    bad.map(|name| format!("{}: {name} does not say what it does", source.path)).collect()
}

fn declarations(code: &str, keyword: &str) -> Vec<String> {
    let starts = code.match_indices(keyword).filter(|(at, _)| !code[..*at].chars().last().is_some_and(is_word));
    starts.map(|(at, _)| code[at + keyword.len()..].chars().take_while(|c| is_word(*c)).collect()).collect()
}

fn says_nothing(name: &str) -> bool {
    WHOLE.contains(&name)
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || name.split('_').any(|word| WORDS.contains(&word))
}

#[test]
fn empty_names_are_found() {
    let text = "mod manager;\nfn handle_event() {}\nfn process_all() {}\nfn string_utils() {}\nfn observe() {}";
    assert_eq!(empty_words(&Source::new("src/helper.rs", text)).len(), 5);
    let good = "fn field_manager() {}\nfn processed() {}\n// fn handle_nothing";
    assert!(empty_words(&Source::new("src/act/field_owner.rs", good)).is_empty());
}
