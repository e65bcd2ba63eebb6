//! Names of networks, endpoints and interfaces: each its own type, built only by `FromStr`.

use std::fmt;
use std::str::FromStr;

/// Longest name of a network or endpoint: it has to fit a DNS label (RFC 1035, section 2.3.4).
const NAME_MAX_BYTES: usize = 63;

/// Longest interface name: `IFNAMSIZ` less its NUL (include/uapi/linux/if.h, v6.18).
const INTERFACE_NAME_MAX_BYTES: usize = 15;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty {
        /// What the name was for.
        what: &'static str,
    },
    /// The text is longer than the kernel or DNS allows.
    #[error("{what} {name:?} is too long: {bytes} bytes, at most {max} are allowed", bytes = name.len())]
    TooLong {
        /// What the name was for.
        what: &'static str,
        /// The text.
        name: String,
        /// Longest allowed, in bytes.
        max: usize,
    },
    /// The text has a character that is not allowed at its place.
    #[error("{what} {name:?} is invalid: {allowed}")]
    Character {
        /// What the name was for.
        what: &'static str,
        /// The text.
        name: String,
        /// What is allowed.
        allowed: &'static str,
    },
}

fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    let mut chars = name.chars();
    if !chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        || !chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    {
        return Err(NameError::Character {
            what,
            name: name.into(),
            allowed: "only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed",
        });
    }
    if name.len() > NAME_MAX_BYTES {
        return Err(NameError::TooLong {
            what,
            name: name.into(),
            max: NAME_MAX_BYTES,
        });
    }
    Ok(())
}

/// Mirrors the kernel's `dev_valid_name` (net/core/dev.c, v6.18). Besides, `%` is a template, `*`, `@`
/// and `"` mean something to nft, and `all` and `default` are sysctl's words.
fn check_interface_name(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    let bad = |c: char| bad(c) || matches!(c, '%' | '*' | '@' | '"');
    if [".", "..", "all", "default"].contains(&name) || name.chars().any(bad) {
        return Err(NameError::Character {
            what,
            name: name.into(),
            allowed: "no space, '/', ':', '%', '*', '@' or '\"' is allowed, nor '.', '..', 'all' or 'default' alone",
        });
    }
    if name.len() > INTERFACE_NAME_MAX_BYTES {
        return Err(NameError::TooLong {
            what,
            name: name.into(),
            max: INTERFACE_NAME_MAX_BYTES,
        });
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check($what, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// Name of a network, unique on the host.
    NetworkName, "network name", check_name
);
name_type!(
    /// Name or alias of an endpoint; the name is unique in its network.
    EndpointName, "name", check_name
);
name_type!(
    /// Name of a network interface.
    InterfaceName, "interface name", check_interface_name
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_docker() {
        for good in ["a", "web", "web-1.dev_x", "0", &"a".repeat(63)] {
            assert!(good.parse::<NetworkName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "_a",
            "a b",
            "ä",
            "a/b",
            "a\n",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn interface_names_follow_the_kernel() {
        for good in ["eth0", "a.b", "bu-0123456789ab", "...", "a'$;{#b"] {
            assert!(good.parse::<InterfaceName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "eth%d",
            "a*",
            "@a",
            "a\"b",
            "all",
            "default",
            "a\tb",
            "0123456789abcdef",
        ] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_error_names_the_object_and_the_limit() {
        let error = "a"
            .repeat(16)
            .parse::<InterfaceName>()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("interface name") && error.contains("at most 15"),
            "{error}"
        );
    }
}
