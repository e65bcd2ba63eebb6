//! A Docker daemon on the same host, that set the policy of its FORWARD chain to DROP.

use std::thread;
use std::time::{Duration, Instant};

use super::{assert_installed, theirs};
use crate::firewall::warnings;
use crate::host::{Host, OUTSIDE, Running, UPLINK};
use crate::publish::flows_rules::{PASSES, doctor};
use crate::publish::{publish, serve, url, who};

/// The daemon of a host, and what its containers are.
struct Docker<'h> {
    host: &'h Host,
    daemon: Option<Running>,
    /// Where the cgroups of its containers are: among the machine's, so it has to be a name of its own.
    cgroup: String,
}

impl<'h> Docker<'h> {
    /// Starts it, and makes the image of its containers, which only sleep.
    #[track_caller]
    fn start(host: &'h Host) -> Self {
        assert_installed(&["docker", "dockerd", "busybox"]);
        let image = "mkdir -p /run/image/bin && cp $(command -v busybox) /run/image/bin/sleep && \
                     echo {} >/run/docker.json";
        host.call("sh -c").arg(image).ok();
        let mut docker = Self {
            host,
            daemon: None,
            cgroup: format!("bridge-user-test-{}", std::process::id()),
        };
        docker.restart();
        let import = "tar -C /run/image -c . | docker import - image";
        host.call("sh -c").arg(import).ok();
        docker
    }

    /// Ends the daemon, if it runs, and starts one. Everything of it is below the host's own /run.
    #[track_caller]
    fn restart(&mut self) {
        self.daemon.take().map(Running::stop);
        let daemon = format!(
            "exec dockerd --config-file /run/docker.json --data-root /run/docker-data \
             --cgroup-parent /{} >>/run/docker.log 2>&1",
            self.cgroup
        );
        self.daemon = Some(self.host.call("sh -c").arg(&daemon).spawn());
        let start = Instant::now();
        while self.host.call("docker version").run().code != Some(0) {
            let log = || self.host.read("/run/docker.log");
            assert!(start.elapsed() < Duration::from_secs(30), "{}", log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a container with these arguments, its namespace by its name where `ip netns` finds it.
    /// Gives its address.
    #[track_caller]
    fn run(&self, name: &str, arguments: &str) -> String {
        let run = format!("docker run -d --name {name} {arguments} image sleep 1000");
        self.host.call(&run).ok();
        let asked = |template: &str| {
            let inspect = format!("docker inspect {name} --format");
            self.host
                .call(&inspect)
                .arg(template)
                .ok()
                .trim()
                .to_owned()
        };
        let pid = asked("{{.State.Pid}}");
        self.host
            .call(&format!("ip netns attach {name} {pid}"))
            .ok();
        asked("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    }
}

impl Drop for Docker<'_> {
    /// The host's end is that of its processes, but not of their cgroups.
    fn drop(&mut self) {
        let remove = "timeout 20 docker rm -f $(docker ps -aq) >/dev/null 2>&1";
        self.host.call("sh -c").arg(remove).run();
        self.daemon.take().map(Running::stop);
        let rmdir = format!("rmdir /sys/fs/cgroup/{}", self.cgroup);
        self.host.call(&rmdir).run();
    }
}

/// Ports of both lead from outside and from each other; else they are apart.
#[track_caller]
fn assert_side_by_side(host: &Host, ours: &str, dockers: &str) {
    let seen = |from, at: &str| who(host, Some(from), at);
    for port in [8080, 9090] {
        let at = url(UPLINK[0], port);
        assert_eq!(seen("outside", &at).as_deref(), Some(OUTSIDE[0]), "{port}");
        for from in ["web", "box"] {
            assert!(seen(from, &at).is_some(), "{from} at {port}");
        }
    }
    let at = url(UPLINK[1], 8080);
    assert_eq!(seen("outside", &at).as_deref(), Some(OUTSIDE[1]));
    for target in OUTSIDE {
        host.assert_pings("web", target);
    }
    for port in [80, 81] {
        assert_eq!(seen("box", &url(ours, port)), None, "{port}");
    }
    // Docker lets everybody to the address of a container where the port is published.
    assert_eq!(seen("web", &url(dockers, 81)), None);
}

/// Does what doctor says, for as long as it says something.
#[track_caller]
fn follow_doctor(host: &Host) {
    let found = warnings(host);
    assert_eq!(found.len(), 1, "{found:?}");
    host.call("sh -c").arg(&found[0].1).ok();
    assert_eq!(warnings(host), []);
}

#[test]
fn docker_and_ours_work_side_by_side() {
    let host = Host::new();
    // It sets its policy where it turned forwarding on itself.
    host.do_not_forward();
    host.outside();
    let mut docker = Docker::start(&host);
    let dockers = docker.run("box", "-p 9090:80");
    let _servers = [80, 81].map(|port| serve(&host, "box", port));
    let before = theirs(&host);
    host.create("--ipv6 n");
    let arguments = "-p 8080:80 n web";
    let ours = Host::endpoint(&publish(&host, arguments), arguments).ipv4;
    let _own = [80, 81].map(|port| serve(&host, "web", port));
    assert_eq!(theirs(&host), before);
    let at = url(UPLINK[0], 8080);
    assert_eq!(
        who(&host, Some("outside"), &at),
        None,
        "there is nothing to advise"
    );
    follow_doctor(&host);
    assert_side_by_side(&host, &ours, &dockers);
    assert_eq!(doctor(&host), PASSES);

    // What we do changes nothing of theirs, and what Docker does changes nothing of ours.
    let rules = theirs(&host);
    let daemon = host.daemon();
    host.bridge_user("net disconnect n web").ok();
    host.bridge_user(&format!("net connect --ip {ours} {arguments}"))
        .ok();
    host.bridge_user("reconcile").ok();
    drop(daemon);
    assert_eq!(theirs(&host), rules);
    let table = || host.call("nft -s list table inet bridge_user").ok();
    let before = table();
    docker.restart();
    host.call("docker rm -f box").ok();
    host.call("ip netns del box").ok();
    assert_eq!(docker.run("box", "-p 9090:80"), dockers);
    let _again = [80, 81].map(|port| serve(&host, "box", port));
    assert_eq!(table(), before);
    assert_side_by_side(&host, &ours, &dockers);

    // Docker's later networks are as closed.
    host.call("docker network create later").ok();
    let later = docker.run("late", "--network later");
    let _late = serve(&host, "late", 81);
    follow_doctor(&host);
    assert_eq!(who(&host, Some("web"), &url(&later, 81)), None);
    assert_side_by_side(&host, &ours, &dockers);
    let rules = theirs(&host);
    host.bridge_user("purge --yes").ok();
    assert_eq!(theirs(&host), rules);
}
