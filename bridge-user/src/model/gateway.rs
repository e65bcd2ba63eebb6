//! What the host does as a network's gateway, a family each: with the source addresses of what leaves,
//! and with who comes from outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::options::OptionError;

pub(super) const ENABLE_IP_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub(super) const HOST_IPV4: &str = "com.docker.network.host_ipv4";
pub(super) const HOST_IPV6: &str = "com.docker.network.host_ipv6";
pub(super) const GATEWAY_MODE_IPV4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
pub(super) const GATEWAY_MODE_IPV6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
/// Of both families; the key of one counts before it.
pub(super) const GATEWAY_MODE: &str = "bridge-user.gateway_mode";

/// What becomes of the source address of what leaves a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It becomes the address of the link that it leaves by.
    Masqueraded,
    /// It becomes this one.
    Fixed(IpAddr),
    /// It stays: who answers has a route to it.
    Kept,
}

/// The gateway of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gateway {
    /// The family.
    pub ipv6: bool,
    /// Others have a route to endpoints, and reach them directly.
    pub routed: bool,
    /// Under which address endpoints are seen.
    pub source: Source,
}

/// What the options of a network say of its gateways; the first of two is of IPv4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayOptions {
    masquerade: bool,
    fixed: [Option<IpAddr>; 2],
    mode: Option<Mode>,
    modes: [Option<Mode>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nat,
    Routed,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            masquerade: true,
            fixed: [None; 2],
            mode: None,
            modes: [None; 2],
        }
    }
}

impl GatewayOptions {
    /// Takes an option that is of gateways, or says what its value should be.
    pub(super) fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            ENABLE_IP_MASQUERADE => self.masquerade = super::options::flag(value)?,
            HOST_IPV4 => {
                let address: Option<Ipv4Addr> = value.parse().ok();
                self.fixed[0] = Some(source_address(address.map(Into::into), "IPv4")?);
            }
            HOST_IPV6 => {
                let address: Option<Ipv6Addr> = value.parse().ok();
                self.fixed[1] = Some(source_address(address.map(Into::into), "IPv6")?);
            }
            GATEWAY_MODE => self.mode = Some(mode(value)?),
            GATEWAY_MODE_IPV4 => self.modes[0] = Some(mode(value)?),
            GATEWAY_MODE_IPV6 => self.modes[1] = Some(mode(value)?),
            _ => return Ok(()),
        }
        Ok(())
    }

    /// The gateway of a family.
    pub fn of_family(&self, ipv6: bool) -> Gateway {
        let at = usize::from(ipv6);
        let routed = self.modes[at].or(self.mode) == Some(Mode::Routed);
        let source = match self.fixed[at] {
            Some(address) => Source::Fixed(address),
            None if self.masquerade && !routed => Source::Masqueraded,
            None => Source::Kept,
        };
        Gateway {
            ipv6,
            routed,
            source,
        }
    }

    /// Refuses what contradicts another option.
    pub(super) fn check(&self) -> Result<(), OptionError> {
        for (ipv6, key) in [(false, HOST_IPV4), (true, HOST_IPV6)] {
            let clash = |reason| Err(OptionError::Clash { key, reason });
            if self.fixed[usize::from(ipv6)].is_none() {
                continue;
            }
            if !self.masquerade {
                return clash("enable_ip_masquerade=false keeps source addresses");
            }
            if self.of_family(ipv6).routed {
                return clash("the gateway mode routed keeps source addresses");
            }
        }
        Ok(())
    }

    /// Refuses what such a network has no use for.
    pub fn check_network(&self, internal: bool, ipv6: bool) -> Result<(), OptionError> {
        let given = [
            (HOST_IPV4, false, self.fixed[0].is_some()),
            (HOST_IPV6, true, self.fixed[1].is_some()),
            (GATEWAY_MODE, false, self.mode.is_some()),
            (GATEWAY_MODE_IPV4, false, self.modes[0].is_some()),
            (GATEWAY_MODE_IPV6, true, self.modes[1].is_some()),
        ];
        for (key, of_ipv6, _) in given.into_iter().filter(|(.., given)| *given) {
            let clash = |reason| Err(OptionError::Clash { key, reason });
            if internal {
                return clash("an internal network has no way out");
            }
            if of_ipv6 && !ipv6 {
                return clash("the network has no IPv6 subnet");
            }
        }
        Ok(())
    }
}

fn mode(value: &str) -> Result<Mode, String> {
    match value {
        "nat" => Ok(Mode::Nat),
        "routed" => Ok(Mode::Routed),
        _ => Err("it is nat or routed".into()),
    }
}

/// An address that packets can come from.
fn source_address(address: Option<IpAddr>, family: &str) -> Result<IpAddr, String> {
    let can_be = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
    let address = address.filter(can_be);
    address.ok_or_else(|| format!("it is an {family} address of the host"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Options;
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<GatewayOptions, OptionError> {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let raw: BTreeMap<String, String> = options.iter().map(text).collect();
        Options::parse(&raw).map(|options| options.gateways)
    }

    #[test]
    fn both_families_are_masqueraded_unless_told_otherwise() {
        let fixed: IpAddr = "192.0.2.1".parse().unwrap();
        let rows = [
            (&[][..], false, Source::Masqueraded, false),
            (&[], true, Source::Masqueraded, false),
            (
                &[(ENABLE_IP_MASQUERADE, "false")],
                true,
                Source::Kept,
                false,
            ),
            (
                &[(HOST_IPV4, "192.0.2.1")],
                false,
                Source::Fixed(fixed),
                false,
            ),
            (
                &[(HOST_IPV4, "192.0.2.1")],
                true,
                Source::Masqueraded,
                false,
            ),
            (&[(GATEWAY_MODE, "routed")], true, Source::Kept, true),
            (
                &[(GATEWAY_MODE, "routed"), (GATEWAY_MODE_IPV4, "nat")],
                false,
                Source::Masqueraded,
                false,
            ),
            (
                &[(GATEWAY_MODE_IPV6, "routed")],
                false,
                Source::Masqueraded,
                false,
            ),
        ];
        for (options, ipv6, source, routed) in rows {
            let gateway = parse(options).unwrap().of_family(ipv6);
            assert_eq!(
                (gateway.source, gateway.routed),
                (source, routed),
                "{options:?}"
            );
        }
    }

    #[test]
    fn what_contradicts_is_refused() {
        for options in [
            [(HOST_IPV4, "192.0.2.1"), (ENABLE_IP_MASQUERADE, "false")],
            [(HOST_IPV4, "192.0.2.1"), (GATEWAY_MODE, "routed")],
            [(HOST_IPV6, "2001:db8::1"), (GATEWAY_MODE_IPV6, "routed")],
        ] {
            let refused = parse(&options);
            assert!(
                matches!(refused, Err(OptionError::Clash { .. })),
                "{options:?}"
            );
        }
        for (key, value) in [
            (HOST_IPV4, "2001:db8::1"),
            (HOST_IPV4, "0.0.0.0"),
            (HOST_IPV6, "::1"),
            (GATEWAY_MODE, "isolated"),
            (GATEWAY_MODE_IPV4, "nat-unprotected"),
            (ENABLE_IP_MASQUERADE, "yes"),
        ] {
            let refused = parse(&[(key, value)]);
            assert!(
                matches!(refused, Err(OptionError::Value { .. })),
                "{key}={value}"
            );
        }
    }

    #[test]
    fn a_network_may_have_no_use_for_them() {
        let ipv6 = parse(&[(HOST_IPV6, "2001:db8::1")]).unwrap();
        assert!(ipv6.check_network(false, true).is_ok());
        assert!(ipv6.check_network(false, false).is_err());
        assert!(ipv6.check_network(true, true).is_err());
        let kept = parse(&[(ENABLE_IP_MASQUERADE, "false")]).unwrap();
        assert!(kept.check_network(true, false).is_ok());
    }
}
