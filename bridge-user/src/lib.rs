//! bridge-user.
