//! Docker to compare with: a daemon of the bench's own, with nothing of the machine's, and the proxy that
//! it starts for a published port. Both end with what started them.

use std::{
    fs,
    io::Read as _,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::topology::NetNs;
use crate::process;

/// How long the daemon may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where everything of the daemon is; ends with the bench's mounts.
const HOME: &str = "/run/docker-bench";

/// What a container of ours needs, and why there is none, if so.
pub(super) fn missing() -> Option<String> {
    ["dockerd", "docker", "iptables", "busybox"]
        .iter()
        .find(|program| process::find_program(program).is_none())
        .map(|program| format!("there is no {program}"))
}

/// A Docker daemon in a network namespace.
pub(super) struct Docker(Child);

impl Docker {
    /// Starts it in a namespace of this name, and waits until it answers. Its cgroups are of version 2,
    /// whatever the machine's are.
    pub(super) fn start(namespace: &str) -> Result<Self> {
        fs::create_dir_all(HOME).with_context(|| format!("failed to make {HOME}"))?;
        let log = fs::File::create(format!("{HOME}/log")).context("failed to make a log")?;
        let daemon = "
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
            exec dockerd --data-root $home/data --exec-root $home/exec --pidfile $home/pid \
                --host unix://$home/socket --cgroup-parent /bridge-user-bench";
        let child = Command::new("ip")
            .args(["netns", "exec", namespace, "sh", "-ec", daemon])
            .env("home", HOME)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("failed to share a log")?)
            .stderr(log)
            .spawn()
            .context("failed to start dockerd")?;
        let mut docker = Self(child);
        let start = Instant::now();
        while call(&["version"]).is_err() {
            if docker.0.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                let log = fs::read_to_string(format!("{HOME}/log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                bail!("dockerd does not come up: {last}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(docker)
    }

    /// Runs a container that only sleeps, with these arguments of `docker run`. Gives its network
    /// namespace and address.
    #[expect(clippy::unused_self, reason = "there is none without a daemon")]
    pub(super) fn server(&self, arguments: &[&str]) -> Result<(NetNs, Ipv4Addr)> {
        let sleep = Path::new(HOME).join("image/bin/sleep");
        let busybox = process::find_program("busybox").context("no busybox")?;
        let image = || {
            fs::create_dir_all(sleep.parent()?).ok()?;
            fs::copy(busybox, &sleep).ok()?;
            fs::set_permissions(&sleep, fs::Permissions::from_mode(0o755)).ok()
        };
        image().context("failed to make an image's files")?;
        let import = "tar -C $home/image -c . | docker --host unix://$home/socket import - bench";
        process::output(Command::new("sh").args(["-ec", import]).env("home", HOME))?;
        let run = ["run", "--detach", "--name", "server"];
        call(&[&run, arguments, &["bench", "sleep", "86400"]].concat())?;
        let template = "{{.State.Pid}} {{.NetworkSettings.IPAddress}}";
        let told = call(&["inspect", "--format", template, "server"])?;
        let (pid, address) = told.split_once(' ').context("no process and address")?;
        let namespace = NetNs::open(&Path::new("/proc").join(pid).join("ns/net"))?;
        let address = address.parse().context("the container has no address")?;
        Ok((namespace, address))
    }
}

impl Drop for Docker {
    /// Ends what runs in it first, for that would outlive it.
    fn drop(&mut self) {
        let _ = call(&["rm", "--force", "server"]);
        end(&mut self.0);
        // Empty by now; it stands among the machine's.
        let _ = Command::new("sh")
            .args([
                "-c",
                "mount -t cgroup2 cgroup2 /mnt && rmdir /mnt/bridge-user-bench; umount /mnt",
            ])
            .stderr(Stdio::null())
            .status();
    }
}

/// Asks the daemon for something.
fn call(arguments: &[&str]) -> Result<String> {
    let socket = format!("unix://{HOME}/socket");
    process::output(
        Command::new("docker")
            .args(["--host", &socket])
            .args(arguments),
    )
}

/// docker-proxy as the daemon starts it: one for each published port.
pub(super) struct Proxy(Child);

impl Proxy {
    /// Whether it is not there.
    pub(super) fn missing() -> Option<String> {
        let none = process::find_program("docker-proxy").is_none();
        none.then(|| "there is no docker-proxy".to_owned())
    }

    /// Leads a TCP port of the loopback in a namespace of this name to a container, from when this returns.
    pub(super) fn start(namespace: &str, port: u16, to: (Ipv4Addr, u16)) -> Result<Self> {
        // It says that it listens on descriptor 3.
        let command = "exec docker-proxy -proto tcp -host-ip 127.0.0.1 -host-port $port \
                       -container-ip $address -container-port $inside 3>&1 >/dev/null";
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace, "sh", "-ec", command])
            .env("port", port.to_string())
            .env("address", to.0.to_string())
            .env("inside", to.1.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start docker-proxy")?;
        let mut said = String::new();
        let mut stdout = child.stdout.take().context("stdout is piped")?;
        let proxy = Self(child);
        stdout
            .read_to_string(&mut said)
            .context("failed to hear docker-proxy")?;
        if said != "0\n" {
            bail!("docker-proxy failed: {said}");
        }
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Ends a process in order, and by force where it does not.
fn end(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let start = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}
