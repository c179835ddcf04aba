//! A file that needs a table of contents is two files; a function that does not fit on a screen is two functions.

use crate::source::{Source, block_end, is_word};

const LONGEST_FILE: usize = 450;
const LONGEST_FUNCTION: usize = 60;

/// Complains about long files and functions, by name and length. Comments, empty lines and tests do not count.
pub fn too_long(source: &Source) -> Vec<String> {
    let mut complaints = vec![];
    let length = lines(&source.code);
    if length > LONGEST_FILE {
        complaints.push(format!("{} has {length} lines of code, more than {LONGEST_FILE}", source.path));
    }
    for (name, length) in functions(&source.code) {
        if length > LONGEST_FUNCTION {
            complaints
                .push(format!("{}: fn {name} has {length} lines of code, more than {LONGEST_FUNCTION}", source.path));
        }
    }
    complaints
}

fn lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Every function with a body: its name and its lines of code, from `fn` to the closing brace.
fn functions(code: &str) -> Vec<(String, usize)> {
    let starts = code.match_indices("fn ").filter(|(at, _)| !code[..*at].chars().last().is_some_and(is_word));
    starts
        .filter_map(|(at, _)| {
            let rest = &code[at..];
            let name: String = rest["fn ".len()..].chars().take_while(|c| is_word(*c)).collect();
            let open = body(rest)?;
            (!name.is_empty()).then(|| (name, lines(&rest[..block_end(rest, open)])))
        })
        .collect()
}

/// Where the body begins; a declaration without one ends at a semicolon that is not inside brackets.
fn body(function: &str) -> Option<usize> {
    let mut depth = 0;
    for (i, c) in function.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(i),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn a_long_function_and_a_long_file_are_found() {
    let long = format!("fn short() {{}}\nfn long(a: [u8; 2]) {{\n{}}}", "    step();\n\n    // why\n".repeat(59));
    assert_eq!(too_long(&Source::new("src/a.rs", &long)), ["src/a.rs: fn long has 61 lines of code, more than 60"]);
    let file = "const A: u8 = 1;\n".repeat(451);
    assert_eq!(too_long(&Source::new("src/a.rs", &file)), ["src/a.rs has 451 lines of code, more than 450"]);
}

#[test]
fn what_does_not_count_is_not_counted() {
    let text = format!(
        "trait T {{ fn declared(&self) -> [u8; 2]; }}\n{}type F = fn(u8) -> u8;\n\
         #[cfg(test)]\nmod tests {{\nfn f() {{\n{}}}\n}}",
        "// a comment\n\n".repeat(500),
        "x();\n".repeat(100)
    );
    assert!(too_long(&Source::new("src/a.rs", &text)).is_empty());
}
