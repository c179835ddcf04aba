//! Rust sources as the rules see them: without comments, without what stands in strings, without tests.

use std::fs;
use std::path::Path;

/// One file.
pub struct Source {
    /// Relative to the repository, with `/`.
    pub path: String,
    /// Code only; line breaks are where they were.
    pub code: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), code: without_tests(&bare(text)) }
    }

    /// The module below the root that the file belongs to: `plan` for `src/plan/guard/mod.rs`.
    pub fn module(&self) -> &str {
        let path = self.path.trim_start_matches("src/");
        path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
    }
}

/// All files of the operator, those that only hold tests left out.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![];
    collect(root, "src", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(root.join(folder)).expect("a folder of sources") {
        let entry = entry.expect("an entry");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let only_tests = path.ends_with("/tests") || path.ends_with("/tests.rs");
        if only_tests {
            continue;
        }
        if entry.path().is_dir() {
            collect(root, &path, found);
        } else if path.ends_with(".rs") {
            found.push(Source::new(&path, &fs::read_to_string(entry.path()).expect("a source")));
        }
    }
}

/// The text without comments, and with empty strings and characters.
pub fn bare(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut code = String::new();
    let mut i = 0;
    while i < chars.len() {
        let after_word = code.chars().last().is_some_and(is_word);
        i = match (at(i), at(i + 1)) {
            ('/', '/') => chars[i..].iter().position(|c| *c == '\n').map_or(chars.len(), |end| i + end),
            ('/', '*') => skip(&mut code, &chars, i, block_comment_end(&chars, i)),
            ('r', '"' | '#') | ('b', 'r') if !after_word => match raw_string_end(&chars, i) {
                Some(end) => skip(&mut code, &chars, i, end),
                None => keep(&mut code, at(i), i),
            },
            ('"', _) => skip(&mut code, &chars, i, string_end(&chars, i)),
            ('\'', '\\') => chars[i + 3..].iter().position(|c| *c == '\'').map_or(chars.len(), |end| i + 4 + end),
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            (other, _) => keep(&mut code, other, i),
        };
    }
    code
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn keep(code: &mut String, c: char, i: usize) -> usize {
    code.push(c);
    i + 1
}

/// Leaves out what is skipped, but not its line breaks.
fn skip(code: &mut String, chars: &[char], from: usize, to: usize) -> usize {
    code.extend(chars[from..to].iter().filter(|c| **c == '\n'));
    to
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    i
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let start = from + chars[from..].iter().take_while(|c| matches!(c, 'b' | 'r')).count();
    let hashes = chars[start..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + hashes) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = start + hashes + 1;
    let end = chars[body..].windows(closing.len()).position(|window| window == closing)?;
    Some(body + end + closing.len())
}

/// The code without modules that are compiled for tests only.
fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, attribute) = rest.split_at(at);
        kept.push_str(before);
        let open = attribute.find('{').unwrap_or(attribute.len());
        let end = attribute.find(';').unwrap_or(attribute.len());
        let end = if open < end { block_end(attribute, open) } else { (end + 1).min(attribute.len()) };
        rest = &attribute[end..];
    }
    kept + rest
}

/// Just after the brace that closes the one at `open`.
pub fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (i, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + i + c.len_utf8();
        }
    }
    code.len()
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let text = "//! std::env\nlet a = \"std::fs { \\\" \"; /* a /* b */ c */ let b = '{';\n\
                let l: &'static str = r#\"x\" }\"#;\n\
                #[cfg(test)]\nmod tests { use std::env; fn f() {} }\nfn g() {}";
    let code = Source::new("src/a.rs", text).code;
    for gone in ["std", "a /*", " c ", "tests", "fn f", "'{'"] {
        assert!(!code.contains(gone), "{gone} in {code}");
    }
    for there in ["let a", "let b", "&'static str", "fn g() {}"] {
        assert!(code.contains(there), "{there} not in {code}");
    }
}

#[test]
fn a_file_knows_its_module() {
    for (path, module) in [("src/plan/guard/mod.rs", "plan"), ("src/leader.rs", "leader"), ("src/main.rs", "main")] {
        assert_eq!(Source::new(path, "").module(), module);
    }
}
