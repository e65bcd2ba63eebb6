//! DNS of the daemon.

mod down;
mod exchange;
mod for_host;
mod given;
mod hostile;
mod links;
mod names;
mod upstreams;

/// The gateway of the first network.
const GATEWAY: &str = "10.90.0.1";
