//! Pings and transfers between namespaces, and what was counted of them.

use bridge_common::PortStats;

use super::{Endpoint, Host, wait_until};

/// What one transfer sent, by two witnesses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    /// TCP segments that the sender's namespace sent (`OutSegs`, RFC 2012).
    pub(crate) segments: u64,
    /// Packets that the program counted at the sender's port, by road.
    pub(crate) fast: u64,
    pub(crate) slow: u64,
}

impl Counts {
    /// At least 99 % of the segments, and of all counted packets, took the fast path.
    #[track_caller]
    pub(crate) fn assert_fast(&self) {
        assert!(self.segments > 1000, "hardly anything was sent: {self:?}");
        assert!(self.fast * 100 >= self.segments * 99, "{self:?}");
        assert!(self.fast * 100 >= (self.fast + self.slow) * 99, "{self:?}");
    }

    /// None took the fast path, and the program still saw them.
    #[track_caller]
    pub(crate) fn assert_slow(&self) {
        assert!(self.segments > 1000, "hardly anything was sent: {self:?}");
        assert_eq!(self.fast, 0, "{self:?}");
        assert!(self.slow * 100 >= self.segments * 99, "{self:?}");
    }
}

impl Host {
    /// Whether one of a few pings from a namespace is answered.
    pub(crate) fn pings(&self, netns: &str, target: &str) -> bool {
        self.ping(netns, target, "-c 3 -i 0.2 -W 1").code == Some(0)
    }

    /// Whether a ping is answered, for targets that should not: one that got through would be
    /// answered in well under a second.
    pub(crate) fn ping_quickly(&self, netns: &str, target: &str) -> bool {
        self.ping(netns, target, "-c 2 -i 0.1 -W 0.3").code == Some(0)
    }

    /// The very first ping is answered.
    #[track_caller]
    pub(crate) fn assert_pings(&self, netns: &str, target: &str) {
        let ran = self.ping(netns, target, "-c 1 -W 2");
        assert_eq!(ran.code, Some(0), "{ran}");
    }

    fn ping(&self, netns: &str, target: &str, arguments: &str) -> super::Ran {
        self.exec(netns, &format!("ping -n -q {arguments} {target}"))
            .run()
    }

    /// Whether the host itself gets an answer from an address.
    pub(crate) fn host_pings(&self, target: &str) -> bool {
        self.call(&format!("ping -n -q -c 1 -W 2 {target}"))
            .run()
            .code
            == Some(0)
    }

    /// Sends TCP for `seconds` from one endpoint to an address of another, in whose namespace a
    /// server is started.
    #[track_caller]
    pub(crate) fn transfer(
        &self,
        from: &Endpoint,
        to: &Endpoint,
        address: &str,
        seconds: u32,
    ) -> Counts {
        let server = self.exec(&to.sandbox, "iperf3 -s -1").spawn();
        wait_until("iperf3 listens", || {
            let listening = self
                .exec(&to.sandbox, "ss -Hltn")
                .arg("sport = :5201")
                .run();
            !listening.stdout.is_empty()
        });
        let (before, segments) = (self.stats(&from.host_leg), self.segments_out(&from.sandbox));
        let client = format!("iperf3 -c {address} -C cubic -t {seconds}");
        self.exec(&from.sandbox, &client).ok();
        let (after, sent) = (self.stats(&from.host_leg), self.segments_out(&from.sandbox));
        server.wait();
        let grown = |of: fn(&PortStats) -> u64| of(&after) - of(&before);
        Counts {
            segments: sent - segments,
            fast: grown(|stats| stats.fast_packets),
            slow: grown(|stats| stats.slow_packets),
        }
    }

    /// TCP segments that a namespace has sent, both families.
    pub(crate) fn segments_out(&self, netns: &str) -> u64 {
        self.snmp(netns, "Tcp", "OutSegs")
    }

    /// Echo requests that have reached a namespace, both families.
    pub(crate) fn echoes_in(&self, netns: &str) -> u64 {
        let snmp6 = self.exec(netns, "cat /proc/net/snmp6").ok();
        let echoes6 = snmp6
            .lines()
            .find_map(|line| line.strip_prefix("Icmp6InEchos "));
        let echoes6: u64 = echoes6
            .and_then(|n| n.trim().parse().ok())
            .expect("/proc/net/snmp6");
        self.snmp(netns, "Icmp", "InEchos") + echoes6
    }

    /// A counter of /proc/net/snmp: a line of names and one of values for each protocol.
    fn snmp(&self, netns: &str, protocol: &str, counter: &str) -> u64 {
        let text = self.exec(netns, "cat /proc/net/snmp").ok();
        let prefix = format!("{protocol}: ");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
        let (names, values) = (
            lines.next().unwrap_or_default(),
            lines.next().unwrap_or_default(),
        );
        let mut pairs = names.split(' ').zip(values.split(' '));
        let value = pairs
            .find(|(name, _)| *name == counter)
            .and_then(|(_, n)| n.parse().ok());
        value.unwrap_or_else(|| panic!("no {protocol} {counter} in {text}"))
    }
}
