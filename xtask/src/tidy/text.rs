//! Rules about a file's name, size and words.

use std::path::Path;

use super::Violation;
use crate::source::Source;

/// Lines that a file has at most; one of the eBPF crate; test files are apart.
const MAX_LINES: usize = 600;
const MAX_EBPF_LINES: usize = 250;

/// File names that say nothing of what is in the file.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "types", "common", "manager", "helper", "helpers",
];

/// Code that is not finished, or a test that does not run.
const UNFINISHED_CODE: &[&str] = &["todo!", "unimplemented!", "#[ignore"];
/// A test that only `vm/init.sh` can run, and does.
const RUN_BY_VM: &str = "#[ignore = \"vm-test runs it";
/// Notes of what is not finished, in comments too. In two parts, so as not to find themselves.
const UNFINISHED_NOTES: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO")];

/// Where `unsafe` may be: a directory ends in `/`.
const UNSAFE_PLACES: &[&str] = &[
    "bridge-common/src/",
    "bridge-ebpf/src/maps/",
    "bridge-ebpf/src/packet/",
    "bridge-user/src/kernel/sys.rs",
];

/// Every file says first what it owns.
pub(super) fn opening(source: &Source) -> Vec<Violation> {
    let first = source.text.lines().next().unwrap_or_default();
    if first.starts_with("//! ") {
        return Vec::new();
    }
    vec![source.violation(1, "does not open with `//!` and what the file owns")]
}

/// No file grows past what one can hold in mind.
pub(super) fn length(source: &Source) -> Vec<Violation> {
    if source.path.contains("/tests/") || source.path.ends_with("/tests.rs") {
        return Vec::new();
    }
    let ebpf = source.path.starts_with("bridge-ebpf/");
    let max = if ebpf { MAX_EBPF_LINES } else { MAX_LINES };
    match source.text.lines().count() {
        lines if lines > max => {
            vec![source.violation(0, format!("has {lines} lines, more than {max}: split it"))]
        }
        _ => Vec::new(),
    }
}

/// A file, or a module's directory, is named after what it holds.
pub(super) fn name(source: &Source) -> Vec<Violation> {
    Path::new(&source.path)
        .with_extension("")
        .iter()
        .filter_map(|part| part.to_str())
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| source.violation(0, format!("`{part}` names nothing: name what it holds")))
        .collect()
}

/// Nothing is left unfinished.
pub(super) fn marks(source: &Source) -> Vec<Violation> {
    let (code, text) = (source.code.lines(), source.text.lines());
    code.zip(text)
        .enumerate()
        .flat_map(|(at, (code, text))| {
            let code = if text.contains(RUN_BY_VM) { "" } else { code };
            let in_code = UNFINISHED_CODE.iter().filter(|mark| code.contains(**mark));
            let in_text = UNFINISHED_NOTES.iter().filter(|mark| has_word(text, mark));
            in_code.chain(in_text).map(move |mark| {
                source.violation(at + 1, format!("`{mark}`: finish it, or file an issue"))
            })
        })
        .collect()
}

/// `unsafe` is where it is expected and read with care. The attribute `#[unsafe(...)]` marks a
/// symbol and is no block.
pub(super) fn unsafety(source: &Source) -> Vec<Violation> {
    let path = &source.path;
    if UNSAFE_PLACES.iter().any(|place| path.starts_with(place)) {
        return Vec::new();
    }
    source
        .code
        .lines()
        .enumerate()
        .filter(|(_, line)| has_word(&line.replace("#[unsafe(", ""), "unsafe"))
        .map(|(at, _)| {
            source.violation(
                at + 1,
                format!("`unsafe` belongs in {}", UNSAFE_PLACES.join(", ")),
            )
        })
        .collect()
}

/// Whether a line has a word that is not part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(in_name) && !line[at + word.len()..].starts_with(in_name)
    })
}

#[cfg(test)]
mod tests {
    //! Each rule on a bad sample, and on a good one.

    use super::{Violation, length, marks, name, opening, unsafety};
    use crate::source::Source;

    type Rule = fn(&Source) -> Vec<Violation>;

    /// Lines of the violations.
    fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
        let violations = rule(&Source::new(path, text));
        violations.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_file_opens_with_what_it_owns() {
        assert_eq!(lines(opening, "a.rs", "use std::fs;\n"), [1]);
        assert_eq!(lines(opening, "a.rs", "// A comment.\n"), [1]);
        assert_eq!(lines(opening, "a.rs", ""), [1]);
        assert!(lines(opening, "a.rs", "//! What it owns.\n").is_empty());
    }

    #[test]
    fn a_file_has_an_end() {
        let text = |lines| "x\n".repeat(lines);
        assert_eq!(lines(length, "bridge-user/src/a.rs", &text(601)), [0]);
        assert!(lines(length, "bridge-user/src/a.rs", &text(600)).is_empty());
        assert_eq!(lines(length, "bridge-ebpf/src/a.rs", &text(251)), [0]);
        assert!(lines(length, "bridge-ebpf/src/a.rs", &text(250)).is_empty());
        assert!(lines(length, "bridge-user/src/a/tests.rs", &text(601)).is_empty());
        assert!(lines(length, "bridge-user/tests/it/a.rs", &text(601)).is_empty());
    }

    #[test]
    fn a_name_says_something() {
        assert_eq!(lines(name, "bridge-user/src/utils.rs", ""), [0]);
        assert_eq!(lines(name, "bridge-user/src/manager/link.rs", ""), [0]);
        assert!(lines(name, "bridge-common/src/types_of_ports.rs", "").is_empty());
    }

    #[test]
    fn nothing_is_unfinished() {
        assert_eq!(
            lines(marks, "a.rs", "x\ntodo!()\nunimplemented!()\n"),
            [2, 3]
        );
        assert_eq!(
            lines(
                marks,
                "a.rs",
                "#[ignore]\n#[ignore = \"x\"]\n#[ignore = \"vm-test runs it, early\"]\n"
            ),
            [1, 2]
        );
        let notes = format!(
            "// {}: later\n// {} later\n",
            concat!("TO", "DO"),
            concat!("FIX", "ME")
        );
        assert_eq!(lines(marks, "a.rs", &notes), [1, 2]);
        assert!(lines(marks, "a.rs", "let s = \"todo!\"; // todo! is a macro\n").is_empty());
    }

    #[test]
    fn unsafe_is_in_its_places_only() {
        let block = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(lines(unsafety, "bridge-user/src/ops/a.rs", block), [2]);
        assert_eq!(lines(unsafety, "bridge-ebpf/src/main.rs", block), [2]);
        for path in [
            "bridge-ebpf/src/maps/fdb.rs",
            "bridge-user/src/kernel/sys.rs",
        ] {
            assert!(lines(unsafety, path, block).is_empty());
        }
        let no_block = "#![deny(unsafe_code)]\n#[unsafe(no_mangle)]\n// unsafe\n";
        assert!(lines(unsafety, "bridge-ebpf/src/main.rs", no_block).is_empty());
    }
}
