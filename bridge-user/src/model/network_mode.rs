//! Where the network of a run comes from, and what that excludes.

use serde::{Deserialize, Serialize};

use super::BUILTIN_BRIDGE;

/// Where the network of a run comes from, as `--network` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// The host's own namespace.
    Host,
    /// A namespace of its own with nothing but loopback.
    None,
    /// Another run's namespace, by the user's word for it or by its id.
    Container(String),
    /// A namespace of its own, on these networks.
    Networks(Vec<String>),
}

impl NetworkMode {
    /// Reads the values of all `--network`, none of them for the default network.
    pub fn parse(values: &[String]) -> Result<Self, RunConflict> {
        let is_mode = |value: &&String| {
            matches!(value.as_str(), "host" | "none" | "default" | BUILTIN_BRIDGE)
                || value.starts_with("container:")
        };
        let mut seen = Vec::new();
        for value in values {
            if seen.contains(&value) {
                return Err(RunConflict::Twice(value.clone()));
            }
            seen.push(value);
        }
        if values.len() > 1 && values.iter().any(|value| is_mode(&value)) {
            return Err(RunConflict::Mixed);
        }
        match values.first().map(String::as_str) {
            None | Some("default") => Ok(Self::Networks(vec![BUILTIN_BRIDGE.into()])),
            Some("host") => Ok(Self::Host),
            Some("none") => Ok(Self::None),
            Some(first) => match first.strip_prefix("container:") {
                Some("") => Err(RunConflict::NoContainer),
                Some(other) => Ok(Self::Container(other.into())),
                None => Ok(Self::Networks(values.to_vec())),
            },
        }
    }

    /// Docker's `HostConfig.NetworkMode`.
    pub fn as_text(&self) -> String {
        match self {
            Self::Host => "host".into(),
            Self::None => "none".into(),
            Self::Container(run) => format!("container:{run}"),
            Self::Networks(networks) => networks.first().cloned().unwrap_or_default(),
        }
    }

    fn is_user_defined(&self) -> bool {
        matches!(self, Self::Networks(networks) if networks.iter().all(|n| n != BUILTIN_BRIDGE))
    }

    /// Refuses what cannot go with it, in Docker's words (`validateNetMode`,
    /// runconfig/hostconfig_unix.go, and daemon/container_operations.go, moby v20.10.24).
    pub fn check(&self, with: &GivenOptions) -> Result<(), RunConflict> {
        let container = matches!(self, Self::Container(_));
        let host = matches!(self, Self::Host);
        let refused = [
            (container && with.hostname, "hostname and the network mode"),
            (container && with.dns, "dns and the network mode"),
            (
                container && with.add_hosts,
                "custom host-to-IP mapping and the network mode",
            ),
            (
                (container || host) && with.mac,
                "mac-address and the network mode",
            ),
            (
                container && with.publish,
                "port publishing and the container type network mode",
            ),
            (
                container && with.expose,
                "port exposing and the container type network mode",
            ),
            (
                host && with.publish,
                "port publishing and the host type network mode",
            ),
            (
                *self == Self::None && with.publish,
                "port publishing and the none type network mode",
            ),
        ];
        if let Some((_, what)) = refused.into_iter().find(|(is_refused, _)| *is_refused) {
            return Err(RunConflict::Options(what));
        }
        let links = [
            (container, "container type network"),
            (host, "host type networking"),
            (*self == Self::None, "none type networking"),
        ];
        if let Some((_, what)) = links.into_iter().find(|(is_it, _)| *is_it && with.links) {
            return Err(RunConflict::Links(what));
        }
        if with.address && !self.is_user_defined() {
            return Err(RunConflict::Address);
        }
        if with.aliases && !self.is_user_defined() {
            return Err(RunConflict::Alias);
        }
        if with.mac && *self == Self::None {
            return Err(RunConflict::Options("mac-address and the network mode"));
        }
        Ok(())
    }
}

/// Which of the options that `--network` may exclude are given.
#[derive(Debug, Clone, Copy, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one option of the command line, given or not"
)]
pub struct GivenOptions {
    /// `--hostname`.
    pub hostname: bool,
    /// `--dns`.
    pub dns: bool,
    /// `--add-host`.
    pub add_hosts: bool,
    /// `--mac-address`.
    pub mac: bool,
    /// `--ip` or `--ip6`.
    pub address: bool,
    /// `--network-alias`.
    pub aliases: bool,
    /// `--link`.
    pub links: bool,
    /// `-p` or `-P`.
    pub publish: bool,
    /// `--expose`.
    pub expose: bool,
}

/// Options that exclude each other, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunConflict {
    /// Two that do not go together.
    #[error("conflicting options: {0}")]
    Options(&'static str),
    /// `--link` without a network of its own.
    #[error(
        "conflicting options: {0} can't be used with links. This would result in undefined behavior"
    )]
    Links(&'static str),
    /// `--network` several times, one of them no user-defined network.
    #[error(
        "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
    )]
    Mixed,
    /// A network twice.
    #[error("network {0:?} is specified multiple times")]
    Twice(String),
    /// `container:` without a name.
    #[error("invalid network mode: invalid container format container:<name|id>")]
    NoContainer,
    /// `--ip` on a network that chooses addresses.
    #[error("user specified IP address is supported on user defined networks only")]
    Address,
    /// `--network-alias` where no names are resolved.
    #[error("network-scoped alias is supported only for containers in user defined networks")]
    Alias,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How an option is given, and the modes that refuse it.
    type Case = (fn(&mut GivenOptions), &'static [&'static str]);

    fn mode(values: &[&str]) -> Result<NetworkMode, RunConflict> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        NetworkMode::parse(&values)
    }

    #[test]
    fn networks_are_read_as_docker_reads_them() {
        let networks = |names: &[&str]| {
            Ok(NetworkMode::Networks(
                names.iter().map(|name| (*name).to_owned()).collect(),
            ))
        };
        assert_eq!(mode(&[]), networks(&["bridge"]));
        assert_eq!(mode(&["default"]), networks(&["bridge"]));
        assert_eq!(mode(&["a", "b"]), networks(&["a", "b"]));
        assert_eq!(mode(&["host"]), Ok(NetworkMode::Host));
        assert_eq!(mode(&["none"]), Ok(NetworkMode::None));
        let container = NetworkMode::Container("web".into());
        assert_eq!(mode(&["container:web"]), Ok(container));
        assert_eq!(mode(&["container:"]), Err(RunConflict::NoContainer));
        assert_eq!(mode(&["a", "a"]), Err(RunConflict::Twice("a".into())));
        for other in ["host", "none", "bridge", "default", "container:web"] {
            assert_eq!(mode(&["a", other]), Err(RunConflict::Mixed), "{other}");
        }
    }

    #[test]
    fn what_a_mode_excludes_is_refused() {
        let given = |set: fn(&mut GivenOptions)| {
            let mut given = GivenOptions::default();
            set(&mut given);
            given
        };
        let cases: [Case; 9] = [
            (|g| g.hostname = true, &["container:x"]),
            (|g| g.dns = true, &["container:x"]),
            (|g| g.add_hosts = true, &["container:x"]),
            (|g| g.publish = true, &["container:x", "host", "none"]),
            (|g| g.expose = true, &["container:x"]),
            (|g| g.links = true, &["container:x", "host", "none"]),
            (|g| g.mac = true, &["container:x", "host", "none"]),
            (
                |g| g.address = true,
                &["container:x", "host", "none", "bridge"],
            ),
            (
                |g| g.aliases = true,
                &["container:x", "host", "none", "bridge"],
            ),
        ];
        for (set, refusing) in cases {
            for value in ["container:x", "host", "none", "bridge", "n"] {
                let checked = mode(&[value]).unwrap().check(&given(set));
                let refused = refusing.contains(&value);
                assert_eq!(checked.is_err(), refused, "{value}: {checked:?}");
            }
        }
    }
}
