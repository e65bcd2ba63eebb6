//! The configuration: what is set for the whole host, in a file. One table a subject; a key that
//! nobody knows is an error, so that no setting is ignored.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::doctor::{Finding, Status};
use super::{Paths, chain, file};
use crate::ipam::{AddressPool, AddressPools};
use crate::kernel::bpf::{self, OtherSize};
use crate::model::{DnsConfig, LogConfig, MapSizes, NetworkOptions};

/// Where the file is, unless the user says.
const DEFAULT_PATH: &str = "/etc/bridge-user/config.toml";

/// What the file sets; every key has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Table `[maps]`.
    pub maps: MapSizes,
    /// Table `[networks]`.
    pub networks: NetworkDefaults,
    /// Table `[dns]`.
    pub dns: DnsConfig,
    /// Table `[log]`.
    pub log: LogConfig,
}

/// What networks have that were not told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkDefaults {
    /// Where subnets come from.
    #[serde(deserialize_with = "some_pools")]
    pub default_address_pools: AddressPools,
    /// Driver options of the default network, which nobody creates.
    pub default_network_options: NetworkOptions,
}

/// Of none no subnet could come.
fn some_pools<'d, D: Deserializer<'d>>(text: D) -> Result<AddressPools, D::Error> {
    let pools = Vec::<AddressPool>::deserialize(text)?;
    if pools.is_empty() {
        return Err(D::Error::custom(
            "there has to be one pool, or leave the key out",
        ));
    }
    Ok(pools.into())
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("failed to read the configuration {path}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is written there.
    #[error("configuration {path}, line {line}, `{text}`: {message}")]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands in it.
        text: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Config {
    /// Reads the file at `path`; without a path the default one, which need not be there.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_PATH), false),
        };
        match file::read_whole(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && !required => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read {
                path: path.into(),
                source,
            }),
            Ok(text) => Self::parse(&text, path),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.get(..at).unwrap_or(text);
            let line = before.matches('\n').count();
            ConfigError::Invalid {
                path: path.into(),
                line: line + 1,
                text: text.lines().nth(line).unwrap_or_default().trim().into(),
                message: error.message().into(),
            }
        })
    }
}

/// What `doctor` has to say of the file, and of the maps that it sets the sizes of.
pub(super) fn findings(paths: &Paths) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let config = match Config::read(paths.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            let advice = "docs/configuration.md has every key";
            return vec![Finding::bad(CHECK, Status::Failure, chain(&error), advice)];
        }
    };
    let sizes = match bpf::other_sizes(&config.maps) {
        Ok(others) if others.is_empty() => Finding::ok("map sizes", "as configured"),
        Ok(others) => {
            let told = others.iter().map(|other| {
                let OtherSize { map, has, wanted } = other;
                format!("{map} has {has}, and would be made with {wanted}")
            });
            let advice = "nothing, if that is enough; else reboot, or remove every network: the \
                          first one after it makes the maps anew";
            let told = told.collect::<Vec<_>>().join("; ");
            Finding::bad("map sizes", Status::Warning, told, advice)
        }
        Err(error) => Finding::bad("map sizes", Status::Warning, chain(&error), "run as root"),
    };
    vec![Finding::ok(CHECK, "valid"), sizes]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("c")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_is_as_by_default() {
        assert_eq!(parse(""), Ok(Config::default()));
        assert_eq!(parse("[maps]\n"), Ok(Config::default()));
        let config = parse("# small\n[maps]\nendpoints = 1_000 # a thousand\n").expect("valid");
        assert_eq!(config.maps.endpoints.get(), 1000);
        assert_eq!(config.maps.subnets, MapSizes::default().subnets);
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, parts) in [
            (
                "\n[maps]\nports = 5",
                ["line 3, `ports = 5`", "unknown field"],
            ),
            ("[mops]", ["line 1, `[mops]`", "unknown field"]),
            (
                "[maps]\nendpoints = 0",
                ["line 2, `endpoints = 0`", "from 1 to 65535"],
            ),
            ("[maps]\nendpoints = 65536", ["line 2", "from 1 to 65535"]),
            (
                "[maps]\nendpoints = \"5\"",
                ["line 2, `endpoints = \"5\"`", "invalid type"],
            ),
            ("[maps]\nevents_bytes = 100000", ["line 2", "power of two"]),
            (
                "[maps]\nsubnets = 1\nsubnets = 2",
                ["line 3, `subnets = 2`", "duplicate key"],
            ),
            ("[maps\n", ["line 1, `[maps`", "unclosed"]),
            (
                "[networks]\ndefault_address_pools = [{ base = \"10.1.0.0/16\", size = 8 }]",
                ["line 2", "from 16 to 30"],
            ),
            (
                "[networks]\ndefault_address_pools = []",
                ["line 2", "there has to be one pool"],
            ),
            (
                "[networks]\ndefault_network_options = { \"bridge-user.dns\" = \"on\" }",
                ["line 2", "it is true or false"],
            ),
            (
                "[dns]\nupstreams = [\"dns.example\"]",
                ["line 2", "\"dns.example\""],
            ),
            (
                "[dns]\nlisten = [\"0.0.0.0\"]",
                ["line 2", "0.0.0.0:53 is no address on the loopback"],
            ),
            (
                "[log]\nlevel = \"loud\"",
                ["line 2", "\"loud\" is none of error, warn, info, debug"],
            ),
            (
                "[log]\nformat = \"json\"",
                ["line 2", "\"json\" is none of journal, text"],
            ),
            ("[log]\nfile = \"x\"", ["line 2", "unknown field"]),
        ] {
            let said = parse(text).expect_err(text);
            for part in ["configuration c, "].into_iter().chain(parts) {
                assert!(said.contains(part), "{part:?} is not in: {said}");
            }
        }
    }
}
