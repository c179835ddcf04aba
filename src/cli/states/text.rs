//! Text from a cluster, made safe for a terminal and fit into 80 columns.

/// The width that text is fit into.
pub(super) const WIDTH: usize = 80;
/// Longer values are cut, in characters.
const LONGEST: usize = 2000;

/// With everything escaped that a terminal would obey, or that would let text look like another.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '\n' => plain.push_str("\\n"),
            '\t' => plain.push_str("\\t"),
            c if c.is_control() || disguises(c) => plain.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => plain.push(c),
        }
    }
    plain
}

/// Invisible, or changes the direction of what follows.
fn disguises(c: char) -> bool {
    matches!(u32::from(c), 0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
}

/// Cut to what a person reads, with a word on how much there was.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    }
}

/// Lines of at most [`WIDTH`] characters: the first begins with `mark`, the others with as many blanks.
pub(super) fn fold(mark: &str, text: &str) -> String {
    let indent = mark.chars().count();
    let (room, chars) = (WIDTH.saturating_sub(indent).max(1), text.chars().collect::<Vec<_>>());
    let mut folded = String::new();
    for (number, line) in chars.chunks(room).enumerate() {
        let begin = if number == 0 { mark.to_owned() } else { " ".repeat(indent) };
        folded.push_str(&begin);
        folded.extend(line);
        folded.push('\n');
    }
    if folded.is_empty() { format!("{}\n", mark.trim_end()) } else { folded }
}

/// Lines of at most [`WIDTH`] characters, broken between words: the first begins with `mark`, the others with as many
/// blanks.
pub(super) fn wrap(mark: &str, text: &str) -> String {
    let (mut wrapped, mut line, mut empty) = (String::new(), mark.to_owned(), true);
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            wrapped.push_str(&line);
            wrapped.push('\n');
            (line, empty) = (" ".repeat(mark.chars().count()), true);
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    wrapped + &line + "\n"
}

/// Lines that were removed (`-`), added (`+`) or stay (` `) around them, for texts of several lines.
pub(super) fn lines(from: &str, to: &str) -> Vec<(char, String)> {
    const AROUND: usize = 2;
    let (old, new): (Vec<&str>, Vec<&str>) = (from.lines().collect(), to.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let part = |list: &[&str], from: usize, to: usize| -> Vec<String> {
        list.get(from..to).unwrap_or_default().iter().map(|line| (*line).to_owned()).collect()
    };
    let with = |mark: char, lines: Vec<String>| lines.into_iter().map(move |line| (mark, line));
    let mut found: Vec<(char, String)> = with(' ', part(&old, head.saturating_sub(AROUND), head)).collect();
    found.extend(with('-', part(&old, head, old.len() - tail)));
    found.extend(with('+', part(&new, head, new.len() - tail)));
    found.extend(with(' ', part(&old, old.len() - tail, (old.len() - tail + AROUND).min(old.len()))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(plain("a\u{1b}[31mred\r\n\u{9b}"), "a\\u{1b}[31mred\\u{d}\\n\\u{9b}");
        assert_eq!(plain("safe\u{202e}txt.exe\u{200b}"), "safe\\u{202e}txt.exe\\u{200b}");
        assert_eq!(plain("größe – ok"), "größe – ok");
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        for text in ["", "short", &"x".repeat(500), &"ü".repeat(81)] {
            let folded = fold("    - ", text);
            assert!(folded.lines().all(|line| line.chars().count() <= WIDTH), "{folded}");
            assert_eq!(
                folded.chars().filter(|c| "xü".contains(*c)).count(),
                text.chars().filter(|c| "xü".contains(*c)).count()
            );
        }
        let wrapped = wrap("  - ", &"word ".repeat(60));
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("    word")));
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let text = "ü".repeat(LONGEST + 1);
        assert!(cut(&text).ends_with(&format!("… ({} bytes)", text.len())));
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn of_several_lines_only_those_that_differ_are_shown() {
        let from = "a\nb\nc\nold\nd\ne\nf";
        let found: String =
            lines(from, "a\nb\nc\nnew\nmore\nd\ne\nf").iter().map(|(mark, line)| format!("{mark}{line}\n")).collect();
        assert_eq!(found, " b\n c\n-old\n+new\n+more\n d\n e\n");
        assert_eq!(lines("a", "a\nb"), [(' ', "a".to_owned()), ('+', "b".to_owned())]);
        assert_eq!(lines("a\na", "a"), [(' ', "a".to_owned()), ('-', "a".to_owned())]);
    }
}
