//! A sysctl of the host that is put back when nothing needs it any more.

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
