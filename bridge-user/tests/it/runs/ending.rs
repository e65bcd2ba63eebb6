//! The end of a run, however it comes: nothing of it is left but what `ps -a` shows.

use std::time::{Duration, Instant};

use super::{field, sleeper, wait_for_state};
use crate::host::{Host, assert_quick, wait_until};

/// Processes of a name that have not ended.
fn processes(host: &Host, command: &str) -> Vec<String> {
    let found = host.call(&format!("ps -C {command} -o stat=,pid=")).run();
    let running = found.stdout.lines().filter(|line| !line.starts_with('Z'));
    let pids = running.filter_map(|line| line.split_whitespace().nth(1));
    pids.map(str::to_owned).collect()
}

#[track_caller]
fn assert_freed(host: &Host) {
    host.assert_no_endpoint();
    assert_eq!(host.files("/run/netns"), [""; 0]);
    assert_eq!(host.files("/etc/netns"), [""; 0]);
}

#[test]
fn its_pair_and_names_go_with_the_command() {
    let host = Host::new();
    host.create("--ipv6 n");
    host.bridge_user("run --name a --network n -- sh -c")
        .arg("exit 3")
        .run();
    assert_freed(&host);
    assert_eq!(field(&host, "a", ".State.Status"), "exited");
    assert_eq!(field(&host, "a", ".State.ExitCode"), "3");
    assert_eq!(
        field(&host, "a", ".NetworkSettings.Networks.n.IPAddress"),
        ""
    );
    host.bridge_user("net rm n").ok();
    host.bridge_user("rm a").ok();
    assert_eq!(host.bridge_user("ps -aq").ok(), "");
    host.assert_clean();
}

#[test]
fn in_the_background_too_and_with_rm_the_row_as_well() {
    let host = Host::new();
    host.bridge_user("run -d --name a -- sleep 0.2").ok();
    host.bridge_user("run -d --rm --name b -- sleep 0.2").ok();
    wait_for_state(&host, "a", "exited");
    wait_until("b is forgotten", || {
        host.bridge_user("ps -a --format {{.Names}}").ok() == "a\n"
    });
    assert_freed(&host);
    assert_eq!(host.files("/run/state/runs").len(), 1, "the log of a");
    host.bridge_user("rm a").ok();
    assert_eq!(host.files("/run/state/runs"), [""; 0]);
    wait_until("no keeper is left", || {
        processes(&host, "bu-keeper").is_empty()
    });
}

#[test]
fn killed_from_outside_it_is_freed_as_well() {
    let host = Host::new();
    host.bridge_user("run -d --name a -- sleep 600").ok();
    host.call(&format!("kill -9 {}", field(&host, "a", ".State.Pid")))
        .ok();
    wait_for_state(&host, "a", "exited");
    assert_eq!(field(&host, "a", ".State.ExitCode"), "137");
    assert_freed(&host);
}

#[test]
fn rm_refuses_what_runs_unless_forced() {
    let host = Host::new();
    let id = sleeper(&host, "--name web");
    sleeper(&host, "--name db");
    host.bridge_user("rm web")
        .fails_with(1, &["sandbox web is running", "hint: ", "rm -f web"]);
    assert!(host.host_pings(&field(&host, "web", ".NetworkSettings.IPAddress")));
    assert_eq!(
        host.bridge_user(&format!("rm -f {} db", &id[..12])).ok(),
        format!("{}\ndb\n", &id[..12])
    );
    assert_freed(&host);
    assert_eq!(processes(&host, "sleep"), [""; 0]);
    host.bridge_user("rm web")
        .fails_with(1, &["web", "not found"]);
    host.bridge_user("rm -f web").ok();
    wait_until("no keeper is left", || {
        processes(&host, "bu-keeper").is_empty()
    });
}

#[test]
fn rm_ends_all_that_runs_in_it_and_nothing_else() {
    let host = Host::new();
    host.bridge_user("run -d --name a -- sh -c")
        .arg("sleep 4321 & sleep 4322; true")
        .ok();
    let exec = host.bridge_user("exec a -- sleep 4323").spawn();
    sleeper(&host, "--name joined --network container:a");
    let sleeping = |seconds| {
        host.call("pgrep -fx")
            .arg(&format!("sleep {seconds}"))
            .run()
    };
    wait_until("all are there", || {
        (4321..=4323).all(|seconds| sleeping(seconds).code == Some(0))
    });
    host.bridge_user("rm -f a").ok();
    for seconds in 4321..=4323 {
        assert_ne!(sleeping(seconds).code, Some(0), "sleep {seconds}");
    }
    assert!(exec.ended().was_killed());
    assert_eq!(field(&host, "joined", ".State.Status"), "running");
    host.bridge_user("rm -f joined").ok();
    assert_freed(&host);
}

#[test]
fn a_keeper_that_cannot_end_it_tries_again() {
    let host = Host::new();
    host.bridge_user("run -d --name a -- sh -c")
        .arg("sleep 1; exit 3")
        .ok();
    host.configure("nonsense = 1\n");
    wait_until("the command has ended", || {
        processes(&host, "sleep").is_empty()
    });
    std::thread::sleep(Duration::from_millis(500));
    host.configure("");
    wait_for_state(&host, "a", "exited");
    assert_eq!(field(&host, "a", ".State.ExitCode"), "3");
    assert_freed(&host);
}

#[test]
fn without_its_keeper_it_runs_on_and_its_end_is_found() {
    let host = Host::new();
    sleeper(&host, "--name a");
    let address = field(&host, "a", ".NetworkSettings.IPAddress");
    for pid in processes(&host, "bu-keeper") {
        host.call(&format!("kill -9 {pid}")).ok();
    }
    host.bridge_user("reconcile").ok();
    assert_eq!(field(&host, "a", ".State.Status"), "running");
    assert!(host.host_pings(&address));
    host.call(&format!("kill {}", field(&host, "a", ".State.Pid")))
        .ok();
    wait_for_state(&host, "a", "exited");
    assert_freed(&host);
    assert_eq!(field(&host, "a", ".State.ExitCode"), "255");
    assert!(field(&host, "a", ".State.Error").contains("not known"));
    let status = host.bridge_user("ps -a --format {{.Status}}").ok();
    assert!(status.starts_with("Exited (unknown) "), "{status}");
}

#[test]
fn a_number_that_another_process_has_now_is_not_it() {
    let host = Host::new();
    sleeper(&host, "--name a");
    // Start times are in hundredths of a second, and numbers are not used again that soon.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let other = host.call("sleep 700").spawn();
    wait_until("both run", || processes(&host, "sleep").len() == 2);
    for pid in processes(&host, "bu-keeper") {
        host.call(&format!("kill -9 {pid}")).ok();
    }
    let pid = field(&host, "a", ".State.Pid");
    let others = processes(&host, "sleep");
    let others = others.iter().find(|found| **found != pid).unwrap();
    host.change_rows(&format!("UPDATE runs SET pid = {others}"));
    assert_eq!(field(&host, "a", ".State.Status"), "exited");
    host.bridge_user("rm -f a").ok();
    assert_eq!(processes(&host, "sleep").len(), 2, "it was not ours to end");
    host.call(&format!("kill {pid}")).ok();
    other.stop();
}

#[test]
fn a_namespace_name_that_is_deleted_comes_back() {
    let host = Host::new();
    sleeper(&host, "--name a");
    let address = field(&host, "a", ".NetworkSettings.IPAddress");
    host.call("ip netns del a").ok();
    host.create("n");
    assert_eq!(host.files("/run/netns"), ["/run/netns/a"]);
    host.connect("n a");
    assert!(host.host_pings(&address));
    assert_eq!(
        host.bridge_user("exec a -- cat /etc/hostname").ok().trim(),
        field(&host, "a", ".Config.Hostname")
    );
    host.bridge_user("rm -f a").ok();
    assert_freed(&host);
}

#[test]
fn after_a_reboot_it_has_exited() {
    let host = Host::new();
    sleeper(&host, "--name a --network none");
    host.call("cp /proc/sys/kernel/random/uuid /run/boot-id")
        .ok();
    host.call("mount --bind /run/boot-id /proc/sys/kernel/random/boot_id")
        .ok();
    assert_eq!(field(&host, "a", ".State.Status"), "exited");
    assert_eq!(
        processes(&host, "sleep").len(),
        1,
        "a number of another boot is another process"
    );
}

#[test]
fn purge_ends_them_and_no_keeper_makes_a_state_again() {
    let host = Host::new();
    let fresh = host.snapshot();
    sleeper(&host, "--name a");
    sleeper(&host, "--name b --network none");
    host.bridge_user("run --name c --network none -- true").ok();
    let foreground = host.bridge_user("run --name d -- sleep 600").spawn();
    wait_until("d runs", || processes(&host, "sleep").len() == 3);
    wait_for_state(&host, "d", "running");
    host.bridge_user("purge --yes").ok();
    assert_eq!(foreground.ended().code, Some(137));
    wait_until("no keeper is left", || {
        processes(&host, "bu-keeper").is_empty()
    });
    assert_eq!(processes(&host, "sleep"), [""; 0]);
    host.assert_clean();
    assert_eq!(host.files("/run/state"), [""; 0]);
    host.assert_as_before(&fresh, "purge leaves something");
}

#[test]
fn many_come_and_go_side_by_side() {
    let host = Host::new();
    host.create("n");
    let runs: Vec<_> = (0..12)
        .map(|n| {
            host.bridge_user(&format!("run --rm --name r{n} --network n -- sleep 1"))
                .spawn()
        })
        .collect();
    for run in runs {
        let ran = run.ended();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran}");
    }
    assert_freed(&host);
    assert_eq!(host.bridge_user("ps -aq").ok(), "");
}

/// Kills what has these numbers, all at once, by SIGKILL.
fn kill_all(host: &Host, pids: &[String]) {
    host.call(&format!("kill -9 {}", pids.join(" "))).ok();
}

#[test]
fn the_daemon_finds_within_a_second_that_command_and_keeper_were_killed() {
    let host = Host::new();
    let _daemon = host.daemon();
    sleeper(&host, "--name before");
    sleeper(&host, "--name stays");
    assert_quick("its port goes", Duration::from_secs(1), || {
        sleeper(&host, "--rm --name a");
        let mut pids = vec![field(&host, "a", ".State.Pid")];
        let keepers = processes(&host, "bu-keeper");
        // The youngest: numbers of a namespace begin at 1 and go up.
        let youngest = keepers.iter().max_by_key(|pid| pid.parse::<u32>().unwrap());
        pids.extend(youngest.cloned());
        let start = Instant::now();
        kill_all(&host, &pids);
        // By the kernel's own word: no command of ours looks meanwhile.
        wait_until("its port goes", || host.ports().len() == 2);
        let took = start.elapsed();
        wait_until("its name goes", || host.files("/run/netns").len() == 2);
        took
    });
    assert_eq!(field(&host, "stays", ".State.Status"), "running");
    for pid in processes(&host, "bu-keeper") {
        host.call(&format!("kill -9 {pid}")).ok();
    }
    // A keeper's end is no end of the command.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(host.ports().len(), 2);
    host.call(&format!("kill -9 {}", field(&host, "before", ".State.Pid")))
        .ok();
    wait_until("its port goes", || host.ports().len() == 1);
    assert!(host.host_pings(&field(&host, "stays", ".NetworkSettings.IPAddress")));
}

#[test]
fn the_daemon_finds_what_died_before_it_began() {
    let host = Host::new();
    sleeper(&host, "--name a");
    let mut pids = processes(&host, "bu-keeper");
    pids.push(field(&host, "a", ".State.Pid"));
    kill_all(&host, &pids);
    let _daemon = host.daemon();
    wait_until("its port goes", || host.ports().is_empty());
    wait_until("its name goes", || host.files("/run/netns").is_empty());
}
