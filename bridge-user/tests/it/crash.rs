//! SIGKILL between any two steps of a command, then `reconcile`: nothing is leaked, and the same
//! command succeeds.

use serde_json::Value;

use crate::host::{Endpoint, Host, PINS, array, text, wait_until};
use crate::random::number;

/// Where a run of a command is killed, a step later each time, until it survives.
/// `BRIDGE_USER_TEST_STRIDE` says how many steps later, where a machine is too slow for each of them.
pub(crate) struct Killer<'h> {
    host: &'h Host,
    command: &'h str,
    step: u32,
    stride: u32,
}

impl<'h> Killer<'h> {
    pub(crate) fn of(host: &'h Host, command: &'h str) -> Self {
        let stride = number("BRIDGE_USER_TEST_STRIDE").unwrap_or(1);
        let stride = u32::try_from(stride).expect("a command has few steps");
        assert!(stride > 0, "it has to come on");
        Self {
            host,
            command,
            step: 0,
            stride,
        }
    }

    /// Runs the command up to its next step: `true` if it was killed there.
    #[track_caller]
    pub(crate) fn kill_at_next_step(&mut self) -> bool {
        self.step += self.stride;
        let call = self.host.bridge_user(self.command);
        let ran = call
            .env("BRIDGE_USER_FAULT_AT", &self.step.to_string())
            .run();
        if ran.was_killed() {
            self.assert_no_port_is_unchecked();
            return true;
        }
        assert_eq!(ran.code, Some(0), "step {}: {ran}", self.step);
        false
    }

    /// At which step it was killed last.
    pub(crate) fn step(&self) -> u32 {
        self.step
    }

    /// A port that forwards has our program at its ingress.
    #[track_caller]
    fn assert_no_port_is_unchecked(&self) {
        for name in self.forwarding_ports() {
            // A leg whose namespace ended goes by itself, maybe between two looks at it.
            let still = || self.forwarding_ports().contains(&name);
            assert!(
                self.host.is_checked(&name) || !still(),
                "step {}: {name} forwards unchecked",
                self.step
            );
        }
    }

    fn forwarding_ports(&self) -> Vec<String> {
        let links = self.host.call("ip -j link").json();
        let forwards = |link: &&Value| {
            let up = array(&link["flags"]).iter().any(|flag| flag == "UP");
            text(&link["ifname"]).starts_with("bv-") && up && link.get("master").is_some()
        };
        let ports = array(&links).iter().filter(forwards);
        ports.map(|link| text(&link["ifname"]).clone()).collect()
    }

    #[track_caller]
    pub(crate) fn assert_steps(&self, least: u32) {
        // The last run survived.
        let steps = self.step - 1;
        assert!(
            steps >= least,
            "`{}` has only {steps} fault points",
            self.command
        );
    }
}

/// Kills a command that makes something at every step of it. `undo` is the way back.
#[track_caller]
fn kill_making(host: &Host, command: &str, undo: &str, least_steps: u32) {
    // Once whole, so that what stays for good (program, maps) is there.
    host.bridge_user(command).ok();
    host.bridge_user(undo).ok();
    let before = host.snapshot();
    let mut killer = Killer::of(host, command);
    while killer.kill_at_next_step() {
        let step = killer.step;
        host.bridge_user("reconcile").ok();
        host.assert_as_before(
            &before,
            &format!("step {step} of `{command}` leaves something"),
        );
        host.bridge_user(command).ok();
        host.bridge_user(undo).ok();
        host.assert_as_before(
            &before,
            &format!("step {step} of `{command}`, then `{undo}`"),
        );
    }
    killer.assert_steps(least_steps);
}

/// Kills a command that removes what `make` makes at every step of it. `again` is the command in
/// the form that is content when there is nothing left to do.
#[track_caller]
fn kill_removing(host: &Host, make: &dyn Fn(), command: &str, again: &str, least_steps: u32) {
    make();
    host.bridge_user(again).ok();
    let absent = host.snapshot();
    let mut killer = Killer::of(host, command);
    loop {
        make();
        let present = host.snapshot();
        if !killer.kill_at_next_step() {
            break;
        }
        let step = killer.step;
        host.bridge_user("reconcile").ok();
        if host.snapshot() != present {
            host.assert_as_before(&absent, &format!("step {step} of `{command}` leaves half"));
        }
        host.bridge_user(again).ok();
        host.assert_as_before(
            &absent,
            &format!("step {step} of `{command}`, then `{again}`"),
        );
    }
    killer.assert_steps(least_steps);
}

/// A dual-stack network `n` with one endpoint, which a crash of others must not touch.
fn neighbour(host: &Host) -> Endpoint {
    host.create("--ipv6 n");
    host.join("n", "neighbour")
}

#[test]
fn create() {
    let host = Host::new();
    neighbour(&host);
    kill_making(&host, "net create --ipv6 --internal m", "net rm m", 4);
}

#[test]
fn create_where_the_host_does_not_forward() {
    let host = Host::new();
    host.outside();
    host.do_not_forward();
    // What keeps pins and table.
    host.create("--internal --ipv6 n");
    kill_making(&host, "net create --ipv6 m", "net rm m", 8);
    // The last one was not killed.
    host.bridge_user("net rm m").ok();
    let make = || drop(host.create("--ipv6 m"));
    kill_removing(&host, &make, "net rm m", "net rm -f m", 8);
}

#[test]
fn purge_where_the_host_did_not_forward() {
    let host = Host::new();
    host.outside();
    host.do_not_forward();
    let fresh = host.snapshot();
    let mut killer = Killer::of(&host, "purge --yes");
    loop {
        host.create("--ipv6 n");
        assert_ne!(host.sysctls(), fresh, "it forwards");
        if !killer.kill_at_next_step() {
            break;
        }
        host.bridge_user("purge --yes").ok();
        host.assert_as_before(&fresh, &format!("step {} leaves something", killer.step));
    }
    killer.assert_steps(8);
    host.assert_as_before(&fresh, "it leaves something");
}

#[test]
fn connect() {
    let host = Host::new();
    let neighbour = neighbour(&host);
    host.netns("a");
    kill_making(
        &host,
        "net connect --alias www n a",
        "net disconnect n a",
        12,
    );
    assert!(host.host_pings(&neighbour.ipv4) && host.host_pings(&neighbour.ipv6));
}

#[test]
fn connect_that_publishes() {
    let host = Host::new();
    // Ports that the kernel would choose, and somebody's own among those that it does not.
    for setting in ["port_range=8080 8090", "reserved_ports=8085"] {
        let setting = format!("net.ipv4.ip_local_{setting}");
        host.call("sysctl -q -w").arg(&setting).ok();
    }
    neighbour(&host);
    host.netns("a");
    let publish = "net connect -p 8080:80 -p 127.0.0.1:8081:81/udp --publish-from 10.0.0.0/8 n a";
    kill_making(&host, publish, "net disconnect n a", 16);
    // The last one was not killed.
    host.bridge_user("net disconnect n a").ok();
    let make = || drop(host.bridge_user(publish).ok());
    kill_removing(
        &host,
        &make,
        "net disconnect n a",
        "net disconnect -f n a",
        9,
    );
}

#[test]
fn connect_with_xdp() {
    let host = Host::new();
    host.create("--datapath xdp n");
    host.join("n", "neighbour");
    host.netns("a");
    kill_making(&host, "net connect n a", "net disconnect n a", 14);
}

#[test]
fn connect_that_makes_the_namespace() {
    let host = Host::new();
    neighbour(&host);
    kill_making(&host, "net connect --create n a", "net disconnect n a", 12);
}

#[test]
fn connect_that_publishes_the_first_port_of_the_host() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 -o bridge-user.publish=bpf n");
    host.join("n", "neighbour");
    host.netns("a");
    let sysctls = host.sysctls();
    let command = "net connect -p 8080:80 -p 127.0.0.1:8081:81 n a";
    let mut killer = Killer::of(&host, command);
    loop {
        // What nobody has before that.
        let mut pins = host.cgroup_pins();
        pins.extend(["PEERS", "ASKED"].map(|map| format!("{PINS}/maps/{map}")));
        for pin in pins {
            host.call("rm -f").arg(&pin).ok();
        }
        if !killer.kill_at_next_step() {
            break;
        }
        let step = killer.step;
        host.bridge_user("reconcile").ok();
        host.bridge_user(command).ok();
        let there = (host.cgroup_pins().len(), host.dump("PUBLISHED").len());
        assert_eq!(there, (10, 4), "step {step}");
        let programs = host.files(&format!("{PINS}/programs"));
        assert_eq!(programs.len(), 5, "step {step}: {programs:?}");
        assert_eq!(host.uplink_pins().len(), 2, "step {step}");
        host.bridge_user("net disconnect n a").ok();
        assert_eq!(host.dump("PUBLISHED").len(), 0, "step {step}");
        let left = (host.uplink_pins().len(), host.sysctls());
        assert_eq!(left, (0, sysctls.clone()), "step {step}");
    }
    killer.assert_steps(40);
}

#[test]
fn connect_to_a_second_network() {
    let host = Host::new();
    host.create("m");
    neighbour(&host);
    host.netns("a");
    let on_m = host.connect("m a");
    kill_making(&host, "net connect n a", "net disconnect n a", 12);
    assert!(host.host_pings(&on_m.ipv4));
    assert_eq!(host.default_routes("a", false).len(), 1);
}

#[test]
fn disconnect() {
    let host = Host::new();
    neighbour(&host);
    host.netns("a");
    let make = || drop(host.connect("n a"));
    kill_removing(
        &host,
        &make,
        "net disconnect n a",
        "net disconnect -f n a",
        6,
    );
}

#[test]
fn links_where_icc_is_off() {
    let host = Host::new();
    host.configure(
        "[networks]\ndefault_network_options = { \"com.docker.network.bridge.enable_icc\" = \"false\" }\n",
    );
    host.join("bridge", "db");
    host.netns("web");
    let (link, leave) = (
        "net connect --link db bridge web",
        "net disconnect bridge web",
    );
    kill_making(&host, link, leave, 12);
    // The last one was not killed.
    host.bridge_user(leave).ok();
    let make = || drop(host.bridge_user(link).ok());
    kill_removing(&host, &make, leave, "net disconnect -f bridge web", 8);
}

#[test]
fn disconnect_of_a_namespace_that_we_made() {
    let host = Host::new();
    neighbour(&host);
    let make = || drop(host.bridge_user("net connect --create n a").ok());
    kill_removing(
        &host,
        &make,
        "net disconnect n a",
        "net disconnect -f n a",
        6,
    );
}

#[test]
fn rm() {
    let host = Host::new();
    neighbour(&host);
    let make = || drop(host.create("--ipv6 m"));
    kill_removing(&host, &make, "net rm m", "net rm -f m", 3);
}

#[test]
fn prune() {
    let host = Host::new();
    neighbour(&host);
    let make = || drop(host.create("--ipv6 m"));
    kill_removing(&host, &make, "net prune -f", "net prune -f", 3);
}

#[test]
fn the_sweep_after_a_namespace_went() {
    let host = Host::new();
    neighbour(&host);
    let make = || {
        host.join("n", "a");
        host.call("ip netns del a").ok();
        // From here on its rows are wrong; a snapshot would already mend them.
    };
    make();
    host.bridge_user("reconcile").ok();
    let before = host.snapshot();
    let mut killer = Killer::of(&host, "net ls");
    loop {
        make();
        if !killer.kill_at_next_step() {
            break;
        }
        host.bridge_user("reconcile").ok();
        let step = killer.step;
        host.assert_as_before(&before, &format!("step {step} leaves something"));
    }
    killer.assert_steps(6);
}

#[test]
fn reconcile_itself() {
    let host = Host::new();
    let neighbour = neighbour(&host);
    let a = host.join("n", "a");
    let bridge = host.bridge_of("n");
    let mut killer = Killer::of(&host, "reconcile");
    loop {
        host.call("ip -n a link del eth0").ok();
        host.call(&format!("ip link del {bridge}")).ok();
        let dead = killer.kill_at_next_step();
        if dead {
            host.bridge_user("reconcile").ok();
        }
        for address in a.addresses() {
            host.assert_pings("neighbour", &address);
        }
        assert!(host.host_pings(&neighbour.ipv4));
        assert_eq!(
            (
                host.fdb().len(),
                host.ports().len(),
                host.attachments().len()
            ),
            (2, 2, 2)
        );
        if !dead {
            break;
        }
    }
    killer.assert_steps(12);
}

#[test]
fn putting_another_builds_program_in_place() {
    let host = Host::new();
    let legs = [neighbour(&host), host.join("n", "a")].map(|endpoint| endpoint.host_leg);
    let mut killer = Killer::of(&host, "reconcile");
    loop {
        host.change_meta(|meta| meta.object_hash += 1);
        let before = host.programs(&legs[0]);
        let dead = killer.kill_at_next_step();
        if dead {
            host.bridge_user("reconcile").ok();
        }
        let [first, second] = [&legs[0], &legs[1]].map(|leg| host.programs(leg));
        assert_eq!((first.len(), &first), (1, &second));
        assert_ne!(first, before, "step {}: nothing was replaced", killer.step);
        let programs = format!("{PINS}/programs");
        let pinned = [
            "bridge_egress",
            "port_ingress",
            "port_ingress_xdp",
            "uplink_egress",
            "uplink_ingress",
        ];
        let pinned = pinned.map(|name| format!("{programs}/{name}"));
        assert_eq!(host.files(&programs), pinned);
        if !dead {
            break;
        }
    }
    killer.assert_steps(12);
}

#[test]
fn purge() {
    let host = Host::new();
    let fresh = host.snapshot();
    let mut killer = Killer::of(&host, "purge --yes");
    loop {
        host.create("--ipv6 n");
        host.bridge_user("net connect --create n a").ok();
        host.bridge_user("net connect --create bridge a").ok();
        if !killer.kill_at_next_step() {
            break;
        }
        host.bridge_user("reconcile").ok();
        host.bridge_user("purge --yes").ok();
        host.assert_as_before(&fresh, &format!("step {} leaves something", killer.step));
    }
    killer.assert_steps(8);
    host.assert_clean();
    assert_eq!(host.files(PINS), [""; 0]);
}

#[test]
fn the_very_first_command() {
    let host = Host::new();
    let fresh = host.snapshot();
    let mut killer = Killer::of(&host, "net connect --create bridge a");
    loop {
        let dead = killer.kill_at_next_step();
        if dead {
            host.bridge_user("reconcile").ok();
            assert_eq!(host.files("/run/netns"), [""; 0], "step {}", killer.step);
            host.bridge_user("net connect --create bridge a").ok();
        }
        host.assert_pings("a", "10.90.0.1");
        host.bridge_user("purge --yes").ok();
        host.assert_as_before(&fresh, &format!("step {} leaves something", killer.step));
        if !dead {
            break;
        }
    }
    killer.assert_steps(15);
}

#[test]
fn a_crash_is_mended_by_the_next_command_too() {
    let host = Host::new();
    neighbour(&host);
    let before = host.snapshot();
    let mut killer = Killer::of(&host, "net connect --create n a");
    for _ in 0..6 {
        assert!(killer.kill_at_next_step());
        // The snapshot itself lists the networks: the command that mends.
        host.assert_as_before(&before, &format!("step {} leaves something", killer.step));
    }
}

/// Waits until no process of these is left that has not ended.
#[track_caller]
fn await_end_of(host: &Host, commands: &[&str]) {
    for command in commands {
        wait_until(&format!("{command} ends"), || {
            let found = host.call(&format!("ps -C {command} -o stat=")).run();
            found.stdout.lines().all(|state| state.starts_with('Z'))
        });
    }
}

#[test]
fn run_in_the_background() {
    let host = Host::new();
    neighbour(&host);
    host.create("m");
    let command = "run -d --name web --network n --network m --network-alias www -- sleep 600";
    host.bridge_user(command).ok();
    host.bridge_user("rm -f web").ok();
    let before = host.snapshot();
    let mut killer = Killer::of(&host, command);
    let mut whole = 0;
    while killer.kill_at_next_step() {
        let step = killer.step;
        host.bridge_user("reconcile").ok();
        if host.snapshot() != before {
            whole += 1;
            assert_eq!(
                host.bridge_user("ps --format {{.State}}").ok(),
                "running\n",
                "step {step}"
            );
            host.assert_pings("neighbour", "www");
            host.bridge_user("rm -f web").ok();
        }
        await_end_of(&host, &["sleep", "bu-keeper", "exe"]);
        host.assert_as_before(&before, &format!("step {step} leaves something"));
        host.bridge_user(command).ok();
        host.assert_pings("neighbour", "www");
        host.bridge_user("rm -f web").ok();
        host.assert_as_before(&before, &format!("step {step}, then once more"));
    }
    killer.assert_steps(30);
    assert_eq!(whole, 1, "from the row that says so on, it runs");
}

#[test]
fn run_in_the_foreground() {
    let host = Host::new();
    neighbour(&host);
    let command = "run --rm --name web --network n -- sleep 0.05";
    host.bridge_user(command).ok();
    let before = host.snapshot();
    let mut killer = Killer::of(&host, command);
    while killer.kill_at_next_step() {
        await_end_of(&host, &["sleep", "exe"]);
        host.bridge_user("reconcile").ok();
        host.assert_as_before(&before, &format!("step {} leaves something", killer.step));
    }
    host.assert_as_before(&before, "it leaves something");
    killer.assert_steps(40);
}

#[test]
fn run_that_cannot_be_executed() {
    let host = Host::new();
    neighbour(&host);
    let before = host.snapshot();
    for step in 1..100 {
        let call = host.bridge_user("run --name web --network n -- nosuchcommand");
        let ran = call.env("BRIDGE_USER_FAULT_AT", &step.to_string()).run();
        if !ran.was_killed() {
            ran.assert_failure(127, &["nosuchcommand"]);
            assert!(step > 30, "{step}");
            return;
        }
        await_end_of(&host, &["exe"]);
        host.bridge_user("reconcile").ok();
        host.assert_as_before(&before, &format!("step {step} leaves something"));
    }
    panic!("it has no end");
}

#[test]
fn a_keeper() {
    let host = Host::new();
    neighbour(&host);
    let before = host.snapshot();
    let mut killed = 0;
    for step in 1..=25 {
        let call = host.bridge_user("run -d --rm --name web --network n -- true");
        call.env("BRIDGE_USER_KEEPER_FAULT_AT", &step.to_string())
            .ok();
        await_end_of(&host, &["bu-keeper"]);
        killed += u32::from(!host.files("/run/state/runs").is_empty());
        host.bridge_user("reconcile").ok();
        host.assert_as_before(&before, &format!("step {step} leaves something"));
    }
    assert!((12..25).contains(&killed), "{killed} of them were cut off");
}

#[test]
fn removing_a_run() {
    let host = Host::new();
    neighbour(&host);
    let command = "run -d --name web --network n -- sleep 600";
    let make = || drop(host.bridge_user(command).ok());
    kill_removing(&host, &make, "rm -f web", "rm -f web", 12);
    await_end_of(&host, &["sleep", "bu-keeper"]);
}

#[test]
fn the_sweep_after_a_run_ended_without_its_keeper() {
    let host = Host::new();
    neighbour(&host);
    let before = host.snapshot();
    let mut killer = Killer::of(&host, "net ls");
    loop {
        host.bridge_user("run -d --rm --name web --network n -- sleep 600")
            .ok();
        for command in ["bu-keeper", "sleep"] {
            host.call("sh -c")
                .arg(&format!("kill -9 $(ps -C {command} -o pid=)"))
                .run();
        }
        await_end_of(&host, &["sleep", "bu-keeper"]);
        if !killer.kill_at_next_step() {
            break;
        }
        host.bridge_user("reconcile").ok();
        let step = killer.step;
        host.assert_as_before(&before, &format!("step {step} leaves something"));
    }
    killer.assert_steps(12);
}

#[test]
fn purge_of_runs() {
    let host = Host::new();
    let fresh = host.snapshot();
    let mut killer = Killer::of(&host, "purge --yes");
    loop {
        host.bridge_user("run -d --name web -- sleep 600").ok();
        host.bridge_user("run -d --name api --network none -- sleep 600")
            .ok();
        if !killer.kill_at_next_step() {
            break;
        }
        host.bridge_user("reconcile").ok();
        host.bridge_user("purge --yes").ok();
        await_end_of(&host, &["sleep", "bu-keeper"]);
        host.assert_as_before(&fresh, &format!("step {} leaves something", killer.step));
    }
    killer.assert_steps(12);
    host.assert_clean();
}
