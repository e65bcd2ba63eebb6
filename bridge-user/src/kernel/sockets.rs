//! Who has a port of this host, and whether one is free: /proc/net/{udp,tcp}, and the descriptors of
//! processes (proc_pid_net(5), proc_pid_fd(5)). Its shell twin is `ss -lntup`.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use socket2::{Domain, Socket, Type};

use crate::model::Protocol;

/// Sockets that wait for connections: `TCP_LISTEN` (include/net/tcp_states.h, v6.18), as the tables
/// have it.
const LISTEN: &str = "0A";

/// Connections that have ended: `TCP_TIME_WAIT`. They hold no port.
const TIME_WAIT: &str = "06";

/// Ports that are nobody's by name (RFC 6335, section 6).
const DYNAMIC_PORTS: RangeInclusive<u16> = 49153..=65535;

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
    /// That of a protocol, where the kernel has a table of it here.
    fn of(protocol: Protocol) -> Option<Self> {
        match protocol {
            Protocol::Tcp => Some(Self::Tcp),
            Protocol::Udp => Some(Self::Udp),
            Protocol::Sctp => None,
        }
    }

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

/// Why a port of the host is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody has it: who, where that was looked for and is to be seen.
    #[error("address already in use{}", .0.as_ref().map(|h| format!(": {h}")).unwrap_or_default())]
    InUse(Option<Holder>),
    /// The address is not the host's.
    #[error("it is no address of this host")]
    NoAddress,
    /// The address is all hosts' of a subnet.
    #[error("it is a broadcast address")]
    Broadcast,
    /// The kernel refused something else.
    #[error(transparent)]
    Call(#[from] io::Error),
}

/// Whether nobody has a port, seen by having it for a moment. Nobody has one of a protocol that the
/// kernel has no sockets of.
pub fn try_port(protocol: Protocol, at: SocketAddr) -> Result<(), PortError> {
    let kind = match protocol {
        Protocol::Tcp | Protocol::Sctp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let number = i32::from(protocol.number()).into();
    let socket = match Socket::new(Domain::for_address(at), kind, Some(number)) {
        Err(e) if protocol == Protocol::Sctp && has_no_sockets(&e) => return Ok(()),
        socket => socket?,
    };
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a server that has ended are in nobody's way.
    socket.set_reuse_address(kind == Type::STREAM)?;
    let taken = socket.bind(&at.into()).and_then(|()| match kind {
        Type::STREAM => socket.listen(1),
        _ => Ok(()),
    });
    taken.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => PortError::InUse(None),
        io::ErrorKind::AddrNotAvailable => PortError::NoAddress,
        _ => error.into(),
    })?;
    if is_broadcast(at)? {
        return Err(PortError::Broadcast);
    }
    Ok(())
}

/// Whether an address is a subnet's for broadcasts, which a socket can be bound to: who has not asked for
/// it may not send there (socket(7), `SO_BROADCAST`).
fn is_broadcast(at: SocketAddr) -> io::Result<bool> {
    if !at.is_ipv4() || at.ip().is_unspecified() {
        return Ok(false);
    }
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let to = at.into();
    let refused = |result: io::Result<()>| {
        result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    if !refused(socket.connect(&to)) {
        return Ok(false);
    }
    socket.set_broadcast(true)?;
    Ok(!refused(socket.connect(&to)))
}

/// What the kernel says to a socket of a protocol that it was built without (`inet_create`,
/// net/ipv4/af_inet.c, v6.18).
fn has_no_sockets(error: &io::Error) -> bool {
    let errors = [libc::EPROTONOSUPPORT, libc::ESOCKTNOSUPPORT];
    error.raw_os_error().is_some_and(|e| errors.contains(&e))
}

/// The ports that are chosen from where nobody says which: those that the kernel itself takes.
pub fn free_port_range() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(first), Some(last)) if 0 < first && first <= last => first..=last,
        _ => DYNAMIC_PORTS,
    }
}

/// Who keeps others from binding to a port. It takes a look at every process.
pub fn holder_in_the_way(protocol: Protocol, at: SocketAddr) -> Option<Holder> {
    let transport = Transport::of(protocol)?;
    let is_live = |state: &str| transport == Transport::Udp || state != TIME_WAIT;
    let holds = |local: SocketAddr, state: &str| is_live(state) && overlap(local, at);
    sockets(transport, holds).into_iter().next()
}

/// The first of these addresses and ports that a socket takes what comes to, or a part of it.
pub fn first_served(protocol: Protocol, at: &[SocketAddr]) -> Option<(SocketAddr, Holder)> {
    let transport = Transport::of(protocol)?;
    let is_taking = |state: &str| transport == Transport::Udp || state == LISTEN;
    let served = |local| at.iter().copied().find(|at| overlap(local, *at));
    let holds = |local: SocketAddr, state: &str| is_taking(state) && served(local).is_some();
    let holder = sockets(transport, holds).into_iter().next()?;
    Some((served(holder.local)?, holder))
}

/// The sockets of this namespace that take what comes `at` an address and port, bound to it or to all.
/// None where the tables cannot be read.
pub fn holders(transport: Transport, at: SocketAddr) -> Vec<Holder> {
    let is_taking = |state: &str| transport == Transport::Udp || state == LISTEN;
    sockets(transport, |local, state| {
        is_taking(state) && takes(local, at)
    })
}

/// The sockets of this namespace whose address and state are of a kind.
fn sockets(transport: Transport, is_wanted: impl Fn(SocketAddr, &str) -> bool) -> Vec<Holder> {
    let mut holders = Vec::new();
    for family in ["", "6"] {
        let path = format!("/proc/thread-self/net/{}{family}", transport.as_str());
        let table = fs::read_to_string(path).unwrap_or_default();
        let sockets = table.lines().skip(1).filter_map(socket);
        let wanted = sockets.filter(|(local, state, _)| is_wanted(*local, state));
        holders.extend(wanted.map(|(local, _, inode)| Holder {
            local,
            process: process_with(&format!("socket:[{inode}]")),
        }));
    }
    holders
}

/// Address, state and inode of a line of a table.
fn socket(line: &str) -> Option<(SocketAddr, &str, &str)> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
    Some((address(local)?, state, inode))
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

/// Whether a socket that is bound so takes some of what comes `at`.
fn overlap(local: SocketAddr, at: SocketAddr) -> bool {
    let both_all = at.ip().is_unspecified() && local.is_ipv4() == at.is_ipv4();
    takes(local, at) || both_all && local.port() == at.port()
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
            assert_eq!(socket(line), Some((local, LISTEN, "20961")));
            let six = "000080FE00000000FF005450B6AD1DFE:0035";
            let expected = "[fe80::5054:ff:fe1d:adb6]:53".parse().unwrap();
            assert_eq!(address(six), Some(expected));
        }
        assert_eq!(socket("  12: nonsense"), None);
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
    fn a_port_that_is_held_is_not_to_be_had() {
        let holder = |protocol, at: &str| {
            let at = at.parse().unwrap();
            let tried = try_port(protocol, at);
            assert!(matches!(tried, Err(PortError::InUse(_))), "{at}: {tried:?}");
            let holder = holder_in_the_way(protocol, at).expect("it is in the tables");
            holder.process.map(|(pid, _)| pid)
        };
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let (udp_port, tcp_port) = (
            udp.local_addr().unwrap().port(),
            tcp.local_addr().unwrap().port(),
        );
        let us = Some(std::process::id());
        for at in ["127.0.0.1", "0.0.0.0"] {
            assert_eq!(holder(Protocol::Udp, &format!("{at}:{udp_port}")), us);
        }
        for at in ["[::1]", "[::]"] {
            assert_eq!(holder(Protocol::Tcp, &format!("{at}:{tcp_port}")), us);
        }
        drop((udp, tcp));
        for (protocol, port) in [(Protocol::Udp, udp_port), (Protocol::Tcp, tcp_port)] {
            let free = try_port(protocol, SocketAddr::from(([127, 0, 0, 1], port)));
            assert!(free.is_ok(), "{free:?}");
        }
        let elsewhere = try_port(Protocol::Tcp, "192.0.2.1:80".parse().unwrap());
        assert!(
            matches!(elsewhere, Err(PortError::NoAddress)),
            "{elsewhere:?}"
        );
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
