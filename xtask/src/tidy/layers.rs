//! The direction of imports in bridge-user: downwards only.

use super::Violation;
use crate::source::Source;

/// Each layer, and those that it may import besides itself. A module that is not here (the
/// library's own `error`, say) may be imported by all but the pure layers.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "cli",
        &["ops", "service", "ipam", "store", "kernel", "model"],
    ),
    ("docker", &["ops", "ipam", "store", "kernel", "model"]),
    ("cni", &["ops", "ipam", "store", "kernel", "model"]),
    ("ops", &["ipam", "store", "kernel", "model"]),
    ("service", &["store", "kernel", "model"]),
    ("ipam", &["model"]),
    ("store", &["model"]),
    ("kernel", &["model"]),
    ("model", &[]),
];

/// Layers that do no I/O: they import nothing but what [`LAYERS`] gives them.
const PURE: &[&str] = &["ipam", "model"];

/// Checks every `crate::...` of a file in a layer.
pub(super) fn imports(source: &Source) -> Vec<Violation> {
    let Some(layer) = layer_of(&source.path) else {
        return Vec::new();
    };
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return Vec::new();
    };
    crate_paths(&source.code)
        .into_iter()
        .filter(|(_, to)| to != layer && !below.contains(&to.as_str()))
        .filter(|(_, to)| PURE.contains(&layer) || LAYERS.iter().any(|(name, _)| name == to))
        .map(|(line, to)| {
            source.violation(
                line,
                format!("`{layer}` must not import `{to}`: imports go down"),
            )
        })
        .collect()
}

/// The layer of a file: `bridge-user/src/LAYER/...` or `bridge-user/src/LAYER.rs`.
fn layer_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("bridge-user/src/")?;
    inside.split('/').next()?.split('.').next()
}

/// Top-level modules that follow `crate::`, alone or in braces, each with its line.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        // `$crate::` and the tail of a longer name are something else.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let from = at + prefix.len();
        for name_at in top_level_names(code, from) {
            let name: String = code[name_at..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let line = code[..name_at].matches('\n').count() + 1;
            found.push((line, name));
        }
    }
    found
}

/// Where the names start: one, or one after each `{` and `,` of the outermost braces.
fn top_level_names(code: &str, from: usize) -> Vec<usize> {
    if !code[from..].starts_with('{') {
        return vec![from];
    }
    let (mut depth, mut expected, mut starts) = (0_usize, false, Vec::new());
    for (offset, c) in code[from..].char_indices() {
        match c {
            '{' => {
                depth += 1;
                expected = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' => expected = depth == 1,
            c if expected && !c.is_whitespace() => {
                starts.push(from + offset);
                expected = false;
            }
            _ => {}
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    //! Who may import whom.

    use super::imports;
    use crate::source::Source;

    /// Line and imported layer of the violations.
    fn bad(path: &str, text: &str) -> Vec<usize> {
        let violations = imports(&Source::new(path, text));
        violations.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn nothing_is_imported_upwards() {
        assert_eq!(bad("bridge-user/src/ops/a.rs", "use crate::cli::x;"), [1]);
        assert_eq!(
            bad("bridge-user/src/model/a.rs", "\nuse crate::store;"),
            [2]
        );
        assert_eq!(bad("bridge-user/src/kernel/a.rs", "crate::ops::f()"), [1]);
        assert_eq!(
            bad("bridge-user/src/ipam/a.rs", "use crate::kernel::x;"),
            [1]
        );
        assert!(bad("bridge-user/src/cli/a.rs", "use crate::ops::x;").is_empty());
        assert!(bad("bridge-user/src/ops/a.rs", "use crate::ops::b;").is_empty());
    }

    #[test]
    fn front_ends_do_not_import_each_other() {
        assert_eq!(
            bad("bridge-user/src/docker/a.rs", "use crate::cli::x;"),
            [1]
        );
        assert_eq!(bad("bridge-user/src/cni.rs", "use crate::docker::x;"), [1]);
    }

    #[test]
    fn braces_are_looked_into() {
        let text = "use crate::{\n    model::{cli, ops},\n    store::x,\n    cli::Y,\n};";
        assert_eq!(bad("bridge-user/src/ops/a.rs", text), [4]);
    }

    #[test]
    fn pure_layers_import_nothing_else() {
        assert_eq!(
            bad("bridge-user/src/model/a.rs", "use crate::fault::x;"),
            [1]
        );
        assert!(bad("bridge-user/src/ops/a.rs", "use crate::fault::x;").is_empty());
    }

    #[test]
    fn what_is_no_import_is_left_alone() {
        let text = "// crate::cli\nlet s = \"crate::cli\";\n";
        assert!(bad("bridge-user/src/ops/a.rs", text).is_empty());
        assert!(bad("bridge-user/src/main.rs", "use crate::cli::x;").is_empty());
        assert!(bad("xtask/src/ops/a.rs", "use crate::cli::x;").is_empty());
    }
}
