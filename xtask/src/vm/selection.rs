//! Which tests run in the machine: emulation is slow, and most of what commands do is the same on
//! every kernel.

use crate::beside;

/// Modules and tests that run: what the kernel decides on, and what only it has. Every test has the
/// program verified anew, which takes most of its time under emulation.
const CHOSEN: &[&str] = &[
    "crash::connect_that_makes_the_namespace",
    "crash::create",
    "crash::disconnect_of_a_namespace_that_we_made",
    "crash::rm",
    "forwarding::",
    "isolation::",
    "legs::links_are_named_by_id",
    "lifecycle::everything_made_is_removed",
    "oracle::",
    "privileges::a_kernel_without_bridge_is_named",
    "privileges::a_kernel_without_veth_is_named",
    "program::",
    "publish_host::",
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
