//! A host of a test's own: network, mount, UTS and process namespaces in which the real binary
//! works on the real kernel, and which end with the test, however it ends.

mod call;
mod dns;
mod echo;
mod kernel;
mod maps;
mod nameserver;
mod networks;
mod snapshot;
mod traffic;
mod wire;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

pub(crate) use call::{Call, Ran, Running};
pub(crate) use kernel::{Address, array, number, text};
pub(crate) use nameserver::{answer_to, fails, is_silent, says};
pub(crate) use networks::{Endpoint, OUTSIDE, UPLINK};
pub(crate) use wire::{Arrival, Tap, Wire, link_local, mac};

/// The binary under test, by its path on every host.
const BINARY: &str = "/run/bin/bridge-user";

/// State directory on every host.
const STATE: &str = "/run/state";

/// The configuration where every command looks for it.
pub(crate) const CONFIG: &str = "/etc/bridge-user/config.toml";

/// Pins of ours in a host's bpffs.
pub(crate) const PINS: &str = "/sys/fs/bpf/bridge-user";

/// What a Debian machine needs for these tests, by package.
const TOOLS: [(&str, &str); 25] = [
    ("bpftool", "bpftool"),
    ("bridge", "iproute2"),
    ("busybox", "busybox-static"),
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("findmnt", "util-linux"),
    ("getent", "libc-bin"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("iptables", "iptables"),
    ("nc", "netcat-openbsd"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("ping", "iputils-ping"),
    ("ps", "procps"),
    ("script", "bsdutils"),
    ("setpriv", "util-linux"),
    ("sh", "dash"),
    ("ss", "iproute2"),
    ("strace", "strace"),
    ("sysctl", "procps"),
    ("tc", "iproute2"),
    ("tcpdump", "tcpdump"),
    ("timeout", "coreutils"),
    ("unshare", "util-linux"),
];

/// Namespaces of the kernel, kept open so that threads of the test can enter them.
#[derive(Debug)]
struct Namespaces {
    files: Vec<(File, CloneFlags)>,
}

/// A host. Everything on it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    namespaces: Namespaces,
    holder: Child,
    /// Its end is the holder's end, also when the test process is killed.
    stdin: Option<ChildStdin>,
    /// Our commands are to do without tcx.
    without_tcx: bool,
}

impl Host {
    /// A host with forwarding on and bridged frames kept from the firewall.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::with_br_netfilter(false)
    }

    /// A host whose firewall sees bridged frames, or does not.
    #[track_caller]
    pub(crate) fn with_br_netfilter(on: bool) -> Self {
        let host = Self::start();
        host.set_br_netfilter(on);
        host
    }

    /// A host whose commands of ours do as if its kernel had no tcx.
    #[track_caller]
    pub(crate) fn without_tcx() -> Self {
        let mut host = Self::new();
        host.without_tcx = true;
        host
    }

    #[track_caller]
    fn start() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        check_tools();
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--uts",
                "--pid",
                "--fork",
                "--kill-child",
            ])
            .args(["--mount-proc", "--propagation", "private", "sh", "-c"])
            .args([
                include_str!("setup.sh"),
                "setup.sh",
                env!("CARGO_BIN_EXE_bridge-user"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare is there: it was looked for");
        let stdin = holder.stdin.take();
        let stdout = holder.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a pipe is readable");
        if line.trim() != "ready" {
            drop(stdin);
            let mut text = String::new();
            let stderr = holder
                .stderr
                .take()
                .map(|mut stderr| stderr.read_to_string(&mut text));
            drop((stderr, holder.wait()));
            panic!(
                "a host cannot be made on this machine (mount, overlay and bpf file systems, network namespaces are needed): {text}"
            );
        }
        let namespaces = Namespaces::of(holder.id());
        Self {
            namespaces,
            holder,
            stdin,
            without_tcx: false,
        }
    }

    fn set_br_netfilter(&self, on: bool) {
        let value = if on { "1" } else { "0" };
        self.inside(|| {
            for protocol in ["iptables", "ip6tables", "arptables"] {
                let path = format!("/proc/sys/net/bridge/bridge-nf-call-{protocol}");
                if on || Path::new(&path).exists() {
                    fs::write(&path, value)
                        .unwrap_or_else(|e| panic!("{path} (module br_netfilter): {e}"));
                }
            }
        });
    }

    /// Turns forwarding off, as it is on a host that nobody has set up as a router.
    pub(crate) fn do_not_forward(&self) {
        self.inside(|| {
            for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/net/{key}"), "0").expect("root may");
            }
        });
    }

    /// Runs a closure in the host's namespaces, on a thread of its own that ends with it.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let entered = scope.spawn(|| {
                self.namespaces.enter();
                work()
            });
            entered.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// A command on the host, its words split at white space.
    pub(crate) fn call(&self, words: &str) -> Call<'_> {
        Call::new(self, words)
    }

    /// The binary under test, with the words behind its state directory.
    pub(crate) fn bridge_user(&self, words: &str) -> Call<'_> {
        let call = Call::new(self, &format!("{BINARY} --state-dir {STATE} {words}"));
        if self.without_tcx {
            call.env("BRIDGE_USER_TEST_HOOK", "clsact")
        } else {
            call
        }
    }

    /// Starts the daemon and waits until it is ready; it ends when this is dropped.
    #[track_caller]
    pub(crate) fn daemon(&self) -> Running {
        let mut daemon = self.bridge_user("daemon --foreground").spawn();
        daemon.wait_for_error_line("ready");
        daemon
    }

    /// Writes the configuration where commands look for it.
    #[track_caller]
    pub(crate) fn configure(&self, config: &str) {
        let written = self.inside(|| {
            fs::create_dir_all("/etc/bridge-user")?;
            fs::write(CONFIG, config)
        });
        written.expect("the host's /etc is its own");
    }

    /// Changes rows of the state, as an earlier boot would have left them.
    #[track_caller]
    pub(crate) fn change_rows(&self, sql: &str) {
        let changed = self.inside(|| {
            let state = rusqlite::Connection::open(Path::new(STATE).join("state.db"))?;
            state.execute_batch(sql)
        });
        changed.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// A command in a namespace of the host, with that namespace's files in /etc.
    pub(crate) fn exec(&self, netns: &str, words: &str) -> Call<'_> {
        Call::new(self, &format!("ip netns exec {netns} {words}"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // The first process of the namespace: all others go with it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Namespaces {
    fn of(pid: u32) -> Self {
        let flags = [
            ("net", CloneFlags::CLONE_NEWNET),
            ("mnt", CloneFlags::CLONE_NEWNS),
            ("uts", CloneFlags::CLONE_NEWUTS),
            ("pid_for_children", CloneFlags::CLONE_NEWPID),
        ];
        let files = flags.map(|(name, flag)| {
            let path = format!("/proc/{pid}/ns/{name}");
            (
                File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}")),
                flag,
            )
        });
        Self {
            files: files.into(),
        }
    }

    /// Moves the calling thread; it cannot come back.
    fn enter(&self) {
        unshare(CloneFlags::CLONE_FS).expect("a thread can have a root directory of its own");
        for (file, flag) in &self.files {
            setns(file, *flag).unwrap_or_else(|e| panic!("failed to enter {flag:?}: {e}"));
        }
    }
}

fn check_tools() {
    let path = std::env::var("PATH").unwrap_or_default();
    let there = |tool: &str| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    let missing: Vec<String> = TOOLS
        .iter()
        .filter(|(tool, _)| !there(tool))
        .map(|(tool, package)| format!("{tool} (Debian package {package})"))
        .collect();
    assert!(
        missing.is_empty(),
        "these tests need {}",
        missing.join(", ")
    );
}

/// Waits until something is so, for at most half a minute.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "not within half a minute: {what}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// One of three tries is as quick as this: what a busy machine adds to some is not the program's.
#[track_caller]
pub(crate) fn assert_quick(what: &str, limit: Duration, mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.last().is_none_or(|last| *last >= limit) {
        assert!(took.len() < 3, "{what}: {took:?}");
        took.push(attempt());
    }
}
