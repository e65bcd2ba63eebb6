//! The repository's Rust files, and their text without comments and literals.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A Rust file of the repository.
pub(crate) struct Source {
    /// Path from the repository's root, with `/`.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// The file with comments and the contents of literals blanked, line by line the same.
    pub(crate) code: String,
}

impl Source {
    /// A file with the given text.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            path: path.into(),
            code: code(&text),
            text,
        }
    }
}

/// Reads every Rust file of the repository, sorted by path.
pub(crate) fn read_all(root: &Path) -> Result<Vec<Source>> {
    let mut paths = Vec::new();
    find(root, &mut paths)?;
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            let path = path.strip_prefix(root).unwrap_or(path);
            Ok(Source::new(path.to_string_lossy(), text))
        })
        .collect()
}

fn find(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || format!("failed to list {}", dir.display());
    for entry in fs::read_dir(dir).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type().with_context(failed)?.is_dir() {
            if name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                find(&path, paths)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// Blanks comments and what is between the quotes of literals; line ends stay.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(skipped) = comment(rest).or_else(|| literal(rest)) {
            let blank = |c| if c == '\n' { '\n' } else { ' ' };
            code.extend(rest[..skipped].chars().map(blank));
            skipped
        } else {
            // A whole word at once, so that the `r` of a name does not open a raw literal.
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let kept = word.unwrap_or(rest.len()).max(first.len_utf8());
            code.push_str(&rest[..kept]);
            kept
        };
        rest = &rest[length..];
    }
    code
}

/// Length of the comment that the text starts with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    Some(text.len())
}

/// Length of the string or character literal that the text starts with.
fn literal(text: &str) -> Option<usize> {
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let body = &text[prefix..];
    if prefix <= 2 && text[..prefix].ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        if body[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let from = prefix + hashes + 1;
            let length = text[from..].find(&end).map(|at| from + at + end.len());
            return Some(length.unwrap_or(text.len()));
        }
        return None;
    }
    if prefix <= 1 && body.starts_with('"') {
        return Some(prefix + quoted(body, '"'));
    }
    // 'x' or '\...', but not the lifetime 'x.
    let mut chars = body.strip_prefix('\'')?.chars();
    let is_char = chars.next()? == '\\' || chars.next()? == '\'';
    (prefix <= 1 && is_char).then(|| prefix + quoted(body, '\''))
}

/// Length of a literal with escapes, both quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    //! What is code and what is not.

    use super::code;

    #[track_caller]
    fn same_words(text: &str, expected: &str) {
        let stripped = code(text);
        assert_eq!(stripped.lines().count(), text.lines().count());
        let words: Vec<&str> = stripped.split_whitespace().collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn comments_are_blanked() {
        same_words("a // b\nc /* d /* e */ f\n */ g", "a c g");
        same_words("/// \"quote\nx", "x");
    }

    #[test]
    fn literals_are_blanked() {
        same_words(r#"f("a // \" b") + g"#, "f( ) + g");
        same_words("r#\"a \" b\"# + br\"c\" + b\"d\" + x", "+ + + x");
        same_words(r"('a', '\'', '\\', b'x', '\u{1f}') y", "( , , , , ) y");
    }

    #[test]
    fn lifetimes_and_names_are_not_literals() {
        same_words("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        same_words("bar + br + number(\"x\")", "bar + br + number( )");
    }
}
