//! `LAYOUT_VERSION` follows the shared types: a recorded hash of their definitions tells when
//! they changed and it did not.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, bail};

use super::Violation;
use crate::source::Source;

/// The record, from the repository's root.
const RECORD: &str = "bridge-common/layout.hash";
const COMMAND: &str = "cargo xtask tidy --record-layout";

/// The layout that a set of sources defines, or that was recorded.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    /// `LAYOUT_VERSION`.
    version: u32,
    /// Hash of every definition that the layout depends on.
    hash: u64,
}

/// Compares the sources with the record.
pub(super) fn check(root: &Path, sources: &[Source]) -> Result<Vec<Violation>> {
    let now = layout(sources)?;
    let recorded = read(root)?;
    let message = compare(recorded.as_ref(), &now);
    Ok(message
        .map(|message| Violation {
            path: RECORD.to_owned(),
            line: 0,
            message,
        })
        .into_iter()
        .collect())
}

/// Writes the record, unless the version should have been raised first.
pub(super) fn record(root: &Path, sources: &[Source]) -> Result<()> {
    let now = layout(sources)?;
    if let Some(recorded) = read(root)?
        && recorded.version == now.version
        && recorded.hash != now.hash
    {
        bail!("the shared types changed: raise LAYOUT_VERSION before recording them");
    }
    let text = format!("version {}\nhash {:016x}\n", now.version, now.hash);
    fs::write(root.join(RECORD), text).with_context(|| format!("failed to write {RECORD}"))?;
    eprintln!("recorded layout version {}", now.version);
    Ok(())
}

/// What is wrong, if anything.
fn compare(recorded: Option<&Layout>, now: &Layout) -> Option<String> {
    match recorded {
        Some(recorded) if recorded == now => None,
        Some(recorded) if recorded.version == now.version => Some(format!(
            "the shared types changed and LAYOUT_VERSION did not: raise it, then `{COMMAND}`"
        )),
        _ => Some(format!("is not of this LAYOUT_VERSION: `{COMMAND}`")),
    }
}

fn read(root: &Path) -> Result<Option<Layout>> {
    let path = root.join(RECORD);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {RECORD}"))?;
    let layout = parse(&text).with_context(|| format!("{RECORD} is damaged: `{COMMAND}`"))?;
    Ok(Some(layout))
}

fn parse(record: &str) -> Option<Layout> {
    let value = |name| record.lines().find_map(|line| line.strip_prefix(name));
    Some(Layout {
        version: value("version ")?.parse().ok()?,
        hash: u64::from_str_radix(value("hash ")?, 16).ok()?,
    })
}

/// Reads version and definitions from the sources.
fn layout(sources: &[Source]) -> Result<Layout> {
    let mut version = None;
    let mut definitions = String::new();
    for source in sources {
        let shared = source.path.starts_with("bridge-common/src/");
        let map = source.path.starts_with("bridge-ebpf/src/maps/");
        for definition in items(&source.code, shared, map) {
            match definition.strip_prefix("pub const LAYOUT_VERSION: u32 = ") {
                Some(number) => version = number.trim_end_matches(';').parse().ok(),
                None => writeln!(definitions, "{definition}")?,
            }
        }
    }
    Ok(Layout {
        version: version.context("found no LAYOUT_VERSION in bridge-common")?,
        hash: fnv_1a(definitions.as_bytes()),
    })
}

/// Definitions at the start of a line: types with their attributes and constants of the shared
/// crate, and the maps; each in one line with single spaces.
fn items(code: &str, shared: bool, map: bool) -> Vec<String> {
    let mut items = Vec::new();
    let mut lines = code.lines();
    let mut attributes = String::new();
    while let Some(line) = lines.next() {
        if shared && line.starts_with("#[repr") {
            line.clone_into(&mut attributes);
            continue;
        }
        let block = shared && (line.starts_with("pub struct ") || line.starts_with("pub enum "));
        let statement =
            shared && line.starts_with("pub const ") || map && line.starts_with("static ");
        if !block && !statement {
            continue;
        }
        // A block ends at the start of a line, too; a tuple struct is a statement.
        let ends = |line: &str| line.starts_with('}') || line.trim_end().ends_with(';');
        let mut item = format!("{} {line}", std::mem::take(&mut attributes));
        if !ends(line) {
            for line in lines.by_ref() {
                item = item + " " + line;
                if ends(line) {
                    break;
                }
            }
        }
        items.push(item.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    items
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): the same on every machine and version of Rust.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    //! What counts as a change of layout.

    use super::{Layout, compare, fnv_1a, layout, parse};
    use crate::source::Source;

    const LIB: &str = "//! Lib.\npub const LAYOUT_VERSION: u32 = 1;\npub const MAX: u32 = 8;\n";
    const PORT: &str = "#[repr(C)]\npub struct Port {\n    pub a: u32,\n}\n";
    const MAP: &str = "static PORTS: HashMap<u32, Port, 8> = HashMap::new();\n";

    fn of(lib: &str, port: &str, map: &str) -> Layout {
        let sources = [
            Source::new("bridge-common/src/lib.rs", lib),
            Source::new("bridge-common/src/port.rs", port),
            Source::new("bridge-ebpf/src/maps/ports.rs", map),
            Source::new("bridge-user/src/port.rs", "pub struct Port {\n}\n"),
        ];
        layout(&sources).expect("the sources define a version")
    }

    #[test]
    fn a_changed_type_without_a_new_version_is_refused() {
        let before = of(LIB, PORT, MAP);
        for after in [
            of(LIB, &PORT.replace("u32", "u64"), MAP),
            of(LIB, &PORT.replace("repr(C)", "repr(packed)"), MAP),
            of(&LIB.replace('8', "9"), PORT, MAP),
            of(LIB, PORT, &MAP.replace("HashMap", "Array")),
        ] {
            let message = compare(Some(&before), &after).expect("the layout changed");
            assert!(message.contains("LAYOUT_VERSION did not"), "{message}");
        }
    }

    #[test]
    fn a_new_version_has_to_be_recorded() {
        let before = of(LIB, PORT, MAP);
        let after = of(&LIB.replace("= 1", "= 2"), &PORT.replace("u32", "u64"), MAP);
        assert_eq!(after.version, 2);
        let message = compare(Some(&before), &after).expect("the record is old");
        assert!(message.contains("--record-layout"), "{message}");
        assert!(compare(None, &before).is_some());
        assert_eq!(compare(Some(&after), &after), None);
    }

    #[test]
    fn comments_and_code_are_no_layout() {
        let logic = format!("// A comment.\n{PORT}\nimpl Port {{\n    const X: u32 = 1;\n}}\n");
        assert_eq!(of(LIB, &logic, MAP), of(LIB, PORT, MAP));
    }

    #[test]
    fn a_record_is_read_back() {
        let expected = Layout {
            version: 3,
            hash: 0xab,
        };
        assert_eq!(parse("version 3\nhash 00000000000000ab\n"), Some(expected));
        assert_eq!(parse("version 3\n"), None);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // From the draft's test vectors.
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
