//! Hosts files as Docker writes them (hosts(5)): rendering, and our block in files of others.

use std::fmt;
use std::net::IpAddr;

const BEGIN: &str = "# BEGIN bridge-user";
const END: &str = "# END bridge-user";

/// The lines that Docker's hosts files start with.
const HEAD: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// What we have to say in a hosts file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostsFile {
    lines: String,
}

impl HostsFile {
    /// Adds a line: an address and its names, the main one first.
    pub fn push(&mut self, address: IpAddr, names: &[impl AsRef<str>]) {
        use fmt::Write as _;
        // Writing to a String does not fail.
        let _ = write!(self.lines, "{address}");
        let mut before = '\t';
        for name in names {
            self.lines.push(before);
            self.lines.push_str(name.as_ref());
            before = ' ';
        }
        self.lines.push('\n');
    }

    /// Adds all lines of another.
    pub fn append(&mut self, other: &Self) {
        self.lines.push_str(&other.lines);
    }

    /// A whole file of our own.
    pub fn render(&self) -> String {
        format!("{HEAD}{}", self.lines)
    }

    /// `present` with our block in it made right, and everything else as it was. Without lines
    /// the block goes.
    pub fn render_into(&self, present: &str) -> String {
        let (before, after) = split_at_block(present);
        let mut text = before.to_owned();
        if !self.lines.is_empty() {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(BEGIN);
            text.push('\n');
            text.push_str(&self.lines);
            text.push_str(END);
            text.push('\n');
        }
        text.push_str(after);
        text
    }
}

/// The text before and after our block; all of it before where there is none. A block whose end
/// is missing (a torn write) reaches to the end of the file.
fn split_at_block(text: &str) -> (&str, &str) {
    let line_at = |marker: &str, from: usize| {
        text[from..]
            .match_indices(marker)
            .map(|(at, _)| from + at)
            .find(|&at| {
                let rest = &text[at + marker.len()..];
                (at == 0 || text[..at].ends_with('\n'))
                    && (rest.is_empty() || rest.starts_with('\n'))
            })
    };
    let Some(begin) = line_at(BEGIN, 0) else {
        return (text, "");
    };
    let end = line_at(END, begin).map_or(text.len(), |at| (at + END.len() + 1).min(text.len()));
    (&text[..begin], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> HostsFile {
        let mut hosts = HostsFile::default();
        hosts.push("10.90.0.2".parse().unwrap(), &["web", "www"]);
        hosts
    }

    #[test]
    fn an_own_file_is_docker_like() {
        let text = hosts().render();
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost"));
        assert!(text.ends_with("10.90.0.2\tweb www\n"));
    }

    #[test]
    fn a_foreign_file_keeps_what_is_around_our_block() {
        let block = "# BEGIN bridge-user\n10.90.0.2\tweb www\n# END bridge-user\n";
        for (before, after) in [
            ("", block.to_owned()),
            ("1.2.3.4 a\n", format!("1.2.3.4 a\n{block}")),
            ("1.2.3.4 a", format!("1.2.3.4 a\n{block}")),
        ] {
            assert_eq!(hosts().render_into(before), after);
            assert_eq!(hosts().render_into(&after), after, "idempotent");
        }
        let around = format!("a\n{block}b\n");
        assert_eq!(HostsFile::default().render_into(&around), "a\nb\n");
    }

    #[test]
    fn a_torn_block_is_replaced() {
        let torn = "a\n# BEGIN bridge-user\n10.90.";
        assert_eq!(HostsFile::default().render_into(torn), "a\n");
    }
}
