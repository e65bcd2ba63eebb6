//! What has to run all the time: the daemon, and what it serves.
//!
//! It holds nothing that a packet needs. What it knows, it reads from the state; what it changes,
//! it changes by the operations that commands use, which its caller hands to it.

mod control;
mod daemon;
mod dns;
mod error;
mod instance;
mod notify;
mod runs;
mod watch;

pub use control::status;
pub use daemon::{Settings, run};
pub use error::ServiceError;
pub use instance::{Instance, running};
