//! MAC addresses of endpoints and bridges.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A unicast MAC address other than zero, in the order of its bytes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// Why a text is no MAC address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseMacError {
    /// Not six pairs of hexadecimal digits.
    #[error("MAC address {0:?} is invalid: it has to be six bytes, as in 02:42:0a:5a:00:02")]
    Format(String),
    /// A group address, or zero: no station may have it.
    #[error("MAC address {0:?} is not a unicast address")]
    NotUnicast(String),
}

impl MacAddress {
    /// The address of an endpoint that asked for none: locally administered (IEEE 802c), with
    /// the endpoint's slot in its last two bytes, so that a program can go from the address to
    /// an array index without hashing.
    pub fn assigned(random: [u8; 3], slot: u16) -> Self {
        let [high, low] = slot.to_be_bytes();
        Self([0x02, random[0], random[1], random[2], high, low])
    }

    /// A locally administered address out of five random bytes, for a bridge.
    pub fn local(random: [u8; 5]) -> Self {
        let [a, b, c, d, e] = random;
        Self([0x06, a, b, c, d, e])
    }

    /// The IPv6 link-local address that Linux makes of it unless told otherwise (RFC 4291, appendix A;
    /// `addrconf_ifid_eui48`, include/net/addrconf.h, v6.18).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        let word = |high, low| u16::from_be_bytes([high, low]);
        let [first, second] = [word(a ^ 0x02, b), word(c, 0xff)];
        Ipv6Addr::new(0xfe80, 0, 0, 0, first, second, word(0xfe, d), word(e, f))
    }

    /// The bytes, in wire order.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let format = || ParseMacError::Format(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(format)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(format());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| format())?;
        }
        if parts.next().is_some() {
            return Err(format());
        }
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(ParseMacError::NotUnicast(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mac_text(self.0))
    }
}

/// Any MAC address, a group's too, in the usual form; `bytes` in their order on the wire.
pub fn mac_text(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_round() {
        let mac: MacAddress = "02:42:0A:5a:00:02".parse().unwrap();
        assert_eq!(mac.to_string(), "02:42:0a:5a:00:02");
    }

    #[test]
    fn what_no_station_may_have_is_refused() {
        for bad in [
            "",
            "02:42",
            "02:42:0a:5a:00:02:03",
            "02:42:0a:5a:00:g2",
            "+2:42:0a:5a:00:02",
        ] {
            assert!(
                matches!(bad.parse::<MacAddress>(), Err(ParseMacError::Format(_))),
                "{bad}"
            );
        }
        for bad in [
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
        ] {
            assert!(
                matches!(bad.parse::<MacAddress>(), Err(ParseMacError::NotUnicast(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_assigned_address_is_local_unicast_and_ends_in_the_slot() {
        let bytes = MacAddress::assigned([0xff; 3], 0x1234).bytes();
        assert_eq!(bytes[0] & 0b11, 0b10);
        assert_eq!(bytes[4..], [0x12, 0x34]);
    }

    #[test]
    fn link_local_addresses_are_made_of_it() {
        // The example of RFC 4291, appendix A.
        let mac: MacAddress = "34:56:78:9a:bc:de".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::3656:78ff:fe9a:bcde");
    }
}
