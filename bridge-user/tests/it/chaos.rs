//! Random commands, some killed and some side by side, among losses and a daemon that comes and goes. What was
//! made so bit by bit is what would be made at once, and a purge leaves nothing.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::host::{Host, PINS, Running, wait_until};
use crate::random::{Random, number, seed};

/// Steps in a normal run, and between two looks at what they made.
const STEPS: usize = 60;
const EPISODE: usize = 30;

const NETWORKS: [&str; 2] = ["n", "m"];
const SANDBOXES: [&str; 4] = ["a", "b", "c", "d"];
const RUNS: [&str; 2] = ["r", "s"];
const PORTS: [u16; 4] = [5353, 8080, 8081, 40000];

const NETWORK_OPTIONS: [&str; 9] = [
    "",
    "--ipv6",
    "--internal",
    "--datapath xdp",
    "--datapath off",
    "--ipv6 -o bridge-user.publish=bpf",
    "-o bridge-user.publish=nft",
    "-o com.docker.network.bridge.enable_icc=false",
    "-o com.docker.network.bridge.gateway_mode_ipv4=routed",
];

/// What others do to what we made, and around it.
const LOSSES: [&str; 10] = [
    "nft flush ruleset",
    "nft delete table inet bridge_user",
    "nft add table inet user; nft add chain inet user c '{ type filter hook forward priority 0; }'; nft add rule inet user c meta length '>' 1200 drop",
    "nft delete table inet user",
    "ip route replace default via 192.0.2.2 dev up0",
    "ip route replace default dev up1",
    "ip route del default",
    "umount /sys/fs/bpf",
    "ip link del $(ip -o link | grep -o ' b[uv]-[0-9a-f]*' | shuf -n 1)",
    "rm $(find /sys/fs/bpf/bridge-user -type f | shuf -n 1)",
];

/// A command of ours, and at which of its steps it is killed.
#[derive(Debug)]
struct Step {
    words: String,
    killed_at: Option<usize>,
}

struct Player<'h> {
    host: &'h Host,
    random: Random,
    daemon: Option<Running>,
}

impl Player<'_> {
    fn step(&mut self) -> Step {
        let network = *self.random.of(&NETWORKS);
        let sandbox = *self.random.of(&SANDBOXES);
        let run = *self.random.of(&RUNS);
        let words = match self.random.below(14) {
            0..=2 => format!("net create {} {network}", self.random.of(&NETWORK_OPTIONS)),
            3 => format!("net rm -f {network}"),
            4..=7 => {
                let ports = self.ports();
                format!("net connect --create {ports} {network} {sandbox}")
            }
            8 | 9 => format!("net disconnect -f {network} {sandbox}"),
            10 | 11 => {
                let ports = self.ports();
                format!("run -d --rm --name {run} --network {network} {ports} -- sleep 1000")
            }
            12 => format!("rm -f {run}"),
            _ => (*self.random.of(&["reconcile", "net ls", "net prune -f"])).into(),
        };
        let killed_at = (self.random.below(3) == 0).then(|| 1 + self.random.below(70));
        Step { words, killed_at }
    }

    fn ports(&mut self) -> String {
        let count = self.random.below(4);
        let one = |_| {
            let host = self.random.of(&["", "127.0.0.1:", "192.0.2.1:"]);
            let port = self.random.of(&PORTS);
            let protocol = self.random.of(&["tcp", "udp", "sctp"]);
            format!("-p {host}{port}:80/{protocol}")
        };
        let ports: Vec<String> = (0..count).map(one).collect();
        ports.join(" ")
    }

    /// A command, several at once, a loss, or the daemon's coming and going.
    fn play(&mut self) {
        match self.random.below(10) {
            0 | 1 => {
                let loss = *self.random.of(&LOSSES);
                eprintln!("{loss}");
                self.host.call("sh -c").arg(loss).run();
            }
            2 => match self.daemon.take() {
                Some(daemon) => drop(daemon.end(Signal::SIGKILL)),
                None => self.daemon = Some(self.host.daemon()),
            },
            3 | 4 => {
                let steps: Vec<Step> = (0..3).map(|_| self.step()).collect();
                let host = self.host;
                thread::scope(|scope| {
                    for step in steps {
                        scope.spawn(move || take(host, &step));
                    }
                });
            }
            _ => take(self.host, &self.step()),
        }
    }

    /// Nothing else is at work, and what was cut off is finished.
    fn rest(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end(Signal::SIGKILL);
        }
        wait_until("all is made right", || {
            self.host.bridge_user("reconcile").run().code == Some(0)
        });
    }

    fn assert_made_at_once(&mut self) {
        self.rest();
        let before = self.host.snapshot();
        self.host.call("nft delete table inet bridge_user").run();
        self.host.call("rm -rf").arg(PINS).ok();
        self.rest();
        self.host.assert_as_before(&before, "made at once");
    }
}

/// It may be refused, or killed; it ends.
fn take(host: &Host, step: &Step) {
    let mut call = host.bridge_user(&step.words);
    if let Some(at) = step.killed_at {
        call = call.env("BRIDGE_USER_FAULT_AT", &at.to_string());
    }
    let ran = call.run();
    eprintln!("{step:?}: {:?} {}", ran.code, ran.stderr.trim());
    assert!(
        ran.was_killed() || matches!(ran.code, Some(0 | 1 | 125)),
        "{ran}"
    );
}

fn play(seed: u64) {
    eprintln!("BRIDGE_USER_TEST_SEED={seed}");
    let host = Host::new();
    host.outside();
    host.call("ip link add up1 type veth peer name up1p").ok();
    host.call("ip link set up1 up").ok();
    let fresh = (host.leftovers(), host.sysctls());
    let mut player = Player {
        host: &host,
        random: Random::new(seed),
        daemon: None,
    };
    for step in 1..=STEPS {
        player.play();
        if step % EPISODE == 0 {
            player.assert_made_at_once();
        }
    }
    player.rest();
    host.bridge_user("purge --yes").ok();
    host.assert_clean();
    assert_eq!((host.leftovers(), host.sysctls()), fresh);
    assert_eq!(host.files("/etc/netns"), [""; 0]);
    assert_eq!(host.files("/run/netns"), ["/run/netns/outside"]);
}

#[test]
fn what_is_made_bit_by_bit_is_made_at_once() {
    let seed = seed();
    let time = number("BRIDGE_USER_FUZZ_SECONDS").map_or(Duration::ZERO, Duration::from_secs);
    let start = Instant::now();
    for round in 0.. {
        play(seed.wrapping_add(round));
        if start.elapsed() >= time {
            break;
        }
    }
}
