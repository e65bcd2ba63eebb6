//! Identifiers: 32 random bytes, shown as 64 hexadecimal digits, or the first 12 of them.

use std::fmt;
use std::str::FromStr;

/// Digits that lists and interface names show.
const SHORT: usize = 12;

/// Identifier of a network, endpoint or sandbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id of 64 hexadecimal digits")]
pub struct ParseIdError(String);

impl Id {
    /// The id whose bytes are these.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as lists show it.
    pub fn short(&self) -> &str {
        &self.0[..SHORT]
    }

    /// Whether a text could be the first 12 digits of an id.
    pub(super) fn is_short(text: &str) -> bool {
        text.len() == SHORT && text.bytes().all(is_digit)
    }
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.len() == 64 && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIdError(text.to_owned()))
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
