//! Who has a port of this host: /proc/net/{udp,tcp}, and the descriptors of processes
//! (proc_pid_net(5), proc_pid_fd(5)). Its shell twin is `ss -lntup`.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Sockets that wait for connections: `TCP_LISTEN` (include/net/tcp_states.h, v6.18), as the tables
/// have it.
const LISTEN: &str = "0A";

/// What comes to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

/// A socket that takes what comes to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What it is bound to: the address, or all of the host.
    pub local: SocketAddr,
    /// Whose it is, by number and name; `None` where that is not to be seen from here.
    pub process: Option<(u32, String)>,
}

impl Transport {
    /// Its name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((pid, name)) => write!(f, "{name} (process {pid}) has {}", self.local),
            None => write!(f, "another server has {}", self.local),
        }
    }
}

/// The sockets of this namespace that take what comes `at` an address and port, bound to it or to all.
/// None where the tables cannot be read.
pub fn holders(transport: Transport, at: SocketAddr) -> Vec<Holder> {
    let mut holders = Vec::new();
    for family in ["", "6"] {
        let path = format!("/proc/thread-self/net/{}{family}", transport.as_str());
        let table = fs::read_to_string(path).unwrap_or_default();
        let sockets = table
            .lines()
            .skip(1)
            .filter_map(|line| socket(transport, line));
        let taking = sockets.filter(|(local, _)| takes(*local, at));
        holders.extend(taking.map(|(local, inode)| Holder {
            local,
            process: process_with(&format!("socket:[{inode}]")),
        }));
    }
    holders
}

/// Address and inode of a line of a table, if what comes is taken by it.
fn socket(transport: Transport, line: &str) -> Option<(SocketAddr, &str)> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
    let is_taking = transport == Transport::Udp || *state == LISTEN;
    is_taking.then_some((address(local)?, inode))
}

/// An address as the kernel writes it: words as they are in memory (`get_tcp4_sock`,
/// net/ipv4/tcp_ipv4.c, v6.18), and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = ip.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Whether a socket that is bound so takes what comes `at`. One on all addresses of IPv6 has those of
/// IPv4 too, unless it says otherwise (ipv6(7)), which the tables do not tell.
fn takes(local: SocketAddr, at: SocketAddr) -> bool {
    let is_all = match local.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() && at.is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    local.port() == at.port() && (is_all || local.ip() == at.ip())
}

/// The first process that has a descriptor of this name.
fn process_with(descriptor: &str) -> Option<(u32, String)> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid: u32 = numbers.find(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        let mut links = descriptors.into_iter().flatten().flatten();
        links.any(|link| fs::read_link(link.path()).is_ok_and(|to| *to == *descriptor))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some((pid, name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_table_is_read() {
        let line = "  12: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    101        0 20961 1 0000000000000000 100 0 0 10 5";
        let local = "127.0.0.53:53".parse().unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(socket(Transport::Tcp, line), Some((local, "20961")));
            let six = "000080FE00000000FF005450B6AD1DFE:0035";
            let expected = "[fe80::5054:ff:fe1d:adb6]:53".parse().unwrap();
            assert_eq!(address(six), Some(expected));
        }
        let connected = line.replace(" 0A ", " 01 ");
        assert_eq!(socket(Transport::Tcp, &connected), None);
        assert_eq!(socket(Transport::Udp, "  12: nonsense"), None);
    }

    #[test]
    fn all_addresses_include_each() {
        for (local, at, expected) in [
            ("0.0.0.0:53", "10.90.0.1:53", true),
            ("[::]:53", "10.90.0.1:53", true),
            ("[::]:53", "[fd00::1]:53", true),
            ("10.90.0.1:53", "10.90.0.1:53", true),
            ("0.0.0.0:53", "[fd00::1]:53", false),
            ("0.0.0.0:54", "10.90.0.1:53", false),
            ("10.90.0.2:53", "10.90.0.1:53", false),
        ] {
            let is = takes(local.parse().unwrap(), at.parse().unwrap());
            assert_eq!(is, expected, "{local} {at}");
        }
    }

    #[test]
    fn own_sockets_are_found() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        for (transport, local) in [
            (Transport::Udp, udp.local_addr().unwrap()),
            (Transport::Tcp, tcp.local_addr().unwrap()),
        ] {
            let found = holders(transport, local);
            assert_eq!(found.len(), 1, "{found:?}");
            let (pid, _) = found[0].process.clone().unwrap();
            assert_eq!((found[0].local, pid), (local, std::process::id()));
        }
    }
}
