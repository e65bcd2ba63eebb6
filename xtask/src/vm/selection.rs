//! Which tests run in the machine: emulation is slow, and most of what commands do is the same on
//! every kernel.

use crate::beside;

/// Modules and tests that run: what the kernel decides on, and what only it has. Every test has the
/// program verified anew, which takes most of its time under emulation.
const CHOSEN: &[&str] = &[
    "crash::create",
    "egress::what_leaves_has_the_address_that_the_options_say",
    "forwarding::a_taken_away_program_leaves_a_working_network",
    "forwarding::datapath_off_works_by_the_bridge_alone",
    "forwarding::fast_and_slow_road_deliver_the_same_bytes",
    "forwarding::tcp_over_ipv6_takes_the_fast_path",
    "forwarding::tcp_takes_the_fast_path",
    "forwarding::the_fast_path_does_not_depend_on_br_netfilter",
    "isolation::bridge_and_firewall_alone_keep_apart",
    "isolation::the_program_alone_keeps_apart",
    "legs::links_are_named_by_id",
    "lifecycle::everything_made_is_removed",
    "oracle::tc_delivers_what_the_bridge_delivers",
    "oracle::xdp_delivers_what_the_bridge_delivers",
    "privileges::a_kernel_without_bridge_is_named",
    "privileges::a_kernel_without_veth_is_named",
    "program::",
    "publish::flows::what_the_firewall_holds_back_is_held_back",
    "publish::flows_clsact::filters_are_there_as_long_as_a_port_is_published",
    "publish::flows_clsact::flows_pass_the_firewall_by",
    "publish::hairpin::a_flow_by_the_host_is_another_than_a_direct_one",
    "publish::outside::the_outside_is_seen_by_its_own_address",
    "publish_host::addresses::other_machines_ports_are_theirs",
    "publish_host::addresses::sockets_that_are_bound_go_by_the_firewall",
    "publish_host::datagrams_are_answered_from_where_they_were_sent_to",
    "publish_host::everything_goes_with_the_last_network",
    "publish_host::hosts_and_sandboxes_do_not_meet",
    "publish_host::nobody_on_the_host_takes_a_published_port",
    "publish_host::the_host_reaches_published_ports_by_its_loopback",
    "repair::a_deleted_interface_comes_back",
    "seeing::stats_tell_the_road_of_what_was_received",
    "upgrade::another_build_puts_its_program_in_place",
    "vlan::",
    "xdp::every_row_comes_out_of_the_program_as_it_says",
];

/// The chosen ones of all tests; with filters those that contain one. Others' software is not in the
/// machine.
pub(super) fn choose(all: &[String], filters: &[String]) -> Vec<String> {
    let is_chosen = |name: &&String| {
        if name.starts_with(beside::TESTS) {
            false
        } else if filters.is_empty() {
            CHOSEN.iter().any(|chosen| is(name, chosen))
        } else {
            filters.iter().any(|filter| name.contains(filter.as_str()))
        }
    };
    all.iter().filter(is_chosen).cloned().collect()
}

/// Whether a test is the chosen one, or of the chosen module.
fn is(name: &str, chosen: &str) -> bool {
    name == chosen || chosen.ends_with("::") && name.starts_with(chosen)
}

/// Says what runs and why not all.
pub(super) fn explain(release: &str, chosen: &[String], all: &[String], filters: &[String]) {
    let (chosen, all) = (chosen.len(), all.len());
    let because = if filters.is_empty() {
        "what depends on the kernel; emulation is slow, and the kernel ring runs the others"
    } else {
        "those with the names that were given"
    };
    eprintln!("kernel {release}: {chosen} of {all} tests: {because}");
}

#[cfg(test)]
mod tests {
    //! What runs.

    use super::{CHOSEN, choose};

    #[test]
    fn names_select_tests_and_modules_and_filters_any_part() {
        let all = [
            "bad_input::vlan::x",
            "beside::vlan",
            "crash::create",
            "crash::create_where",
            "vlan::b",
        ];
        let all = all.map(str::to_owned);
        assert_eq!(choose(&all, &[]), ["crash::create", "vlan::b"]);
        assert_eq!(
            choose(&all, &["vlan".to_owned()]),
            ["bad_input::vlan::x", "vlan::b"]
        );
        assert!(CHOSEN.is_sorted());
    }
}
