//! A sysctl of the host that is put back when nothing needs it any more.

/// What sysctls are about: they are put back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SysctlGroup {
    /// Forwarding of IPv4.
    Ipv4,
    /// Forwarding of IPv6.
    Ipv6,
    /// Tracking of connections.
    Netfilter,
}

impl SysctlGroup {
    /// The directory below /proc/sys/net that they are in.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Netfilter => "netfilter",
        }
    }
}

/// What a sysctl was, and what it is as long as it is ours to put back: whoever changed it since
/// meant that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSysctl {
    /// Its path below /proc/sys/net.
    pub key: String,
    /// What it was.
    pub before: String,
    /// What it is when it is to be put back.
    pub ours: String,
}
