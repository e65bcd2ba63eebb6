//! Wrong usage, told as every other error is: what is wrong in one line, then the way out.

use std::fmt::Write as _;

use clap::error::ErrorKind;

/// What to print of what clap says; help and version are no errors, and stay as they are.
pub(super) fn message(error: &clap::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => None,
        _ => Some(in_two_lines(&error.render().to_string())),
    }
}

/// clap gives paragraphs: the error, which may go on in lines of its own; tips; the usage.
fn in_two_lines(text: &str) -> String {
    let mut paragraphs = text.split("\n\n").map(one_line);
    let mut message = paragraphs.next().unwrap_or_default();
    message.push_str("\nhint: ");
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            let _ = write!(message, "{tip}; ");
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            let _ = write!(message, "usage: {usage}; ");
        }
    }
    message.push_str("--help says more\n");
    message
}

fn one_line(paragraph: &str) -> String {
    let lines = paragraph.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::in_two_lines;

    #[test]
    fn what_is_missing_is_in_the_line_of_the_error() {
        let text = "error: the following required arguments were not provided:\n  <NETWORK>\n  \
                    <SANDBOX>\n\nUsage: x net connect <NETWORK> <SANDBOX>\n\nFor more information, try '--help'.\n";
        assert_eq!(
            in_two_lines(text),
            "error: the following required arguments were not provided: <NETWORK> <SANDBOX>\n\
             hint: usage: x net connect <NETWORK> <SANDBOX>; --help says more\n"
        );
    }

    #[test]
    fn a_tip_is_a_way_out() {
        let text = "error: invalid value 'sctp' for '--proto <PROTO>'\n  [possible values: tcp, udp]\n\n  \
                    tip: a similar value exists: 'tcp'\n\nFor more information, try '--help'.\n";
        assert_eq!(
            in_two_lines(text),
            "error: invalid value 'sctp' for '--proto <PROTO>' [possible values: tcp, udp]\n\
             hint: a similar value exists: 'tcp'; --help says more\n"
        );
    }
}
