//! How much the daemon's log says, and for whom.

use std::str::FromStr;

use serde::Deserialize;

/// Table `[log]` of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is said.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// What is said, from little to much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what is not as it should be.
    Warn,
    /// And what the daemon does.
    #[default]
    Info,
    /// And every detail, of the operations too.
    Debug,
}

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// With the priorities of sd-daemon(3), which a service manager takes off.
    #[default]
    Journal,
    /// With time and level, for people.
    Text,
}

/// A text that is none of the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {words}")]
pub struct LogError {
    text: String,
    words: &'static str,
}

impl FromStr for LogLevel {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        Ok(match text {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            _ => {
                return Err(LogError {
                    text: text.into(),
                    words: "error, warn, info, debug",
                });
            }
        })
    }
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        Ok(match text {
            "journal" => Self::Journal,
            "text" => Self::Text,
            _ => {
                return Err(LogError {
                    text: text.into(),
                    words: "journal, text",
                });
            }
        })
    }
}

impl TryFrom<String> for LogLevel {
    type Error = LogError;

    fn try_from(text: String) -> Result<Self, LogError> {
        text.parse()
    }
}

impl TryFrom<String> for LogFormat {
    type Error = LogError;

    fn try_from(text: String) -> Result<Self, LogError> {
        text.parse()
    }
}
