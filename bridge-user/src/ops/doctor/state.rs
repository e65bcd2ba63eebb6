//! Whether commands can open the state.

use std::io;

use super::{Finding, Paths, Status, chain};
use crate::kernel::bpf;
use crate::kernel::netns::{self, NetNs};
use crate::kernel::probe::{self, Unwritable};
use crate::ops::Error;
use crate::ops::hint::{MAKE_ROOM, MAKE_WRITABLE};
use crate::store::{Reader, SCHEMA_VERSION, Store, StoreError};

const CHECK: &str = "state";

pub(super) fn finding(paths: &Paths) -> Finding {
    let directory = paths.state.display();
    match look(paths) {
        Ok(_) if let Some(why) = probe::unwritable(&paths.state) => {
            let (what, advice) = match why {
                Unwritable::ReadOnly => ("read-only", MAKE_WRITABLE),
                Unwritable::Full => ("full", MAKE_ROOM),
            };
            let detail = format!("the file system of {directory} is {what}");
            Finding::bad(CHECK, Status::Failure, detail, advice)
        }
        Ok(true) => Finding::ok(CHECK, directory.to_string()),
        Ok(false) => Finding::ok(CHECK, format!("none yet in {directory}")),
        Err(error) => {
            let lost =
                "if it is lost: bridge-user purge --yes --lost, which also removes every network";
            let advice = error.hint().unwrap_or_else(|| lost.into());
            Finding::bad(CHECK, Status::Failure, chain(&error), advice)
        }
    }
}

/// What `Context::open` refuses; whether there is a state. Where there is none, none is made.
fn look(paths: &Paths) -> Result<bool, Error> {
    match Store::check_directory(&paths.state) {
        Err(StoreError::Directory { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(false);
        }
        checked => checked?,
    }
    let read = Reader::new(&paths.state).if_changed(|rows| match rows {
        Some(rows) => Ok(Some((rows.host()?, rows.owner()?))),
        None => Ok(None),
    });
    let (host, owner) = match read {
        Ok(Some(Some(facts))) => facts,
        Ok(_) => return Ok(false),
        // The next command brings it up to date.
        Err(StoreError::SchemaVersion { found, .. }) if found < SCHEMA_VERSION => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let (boot_id, cookie) = (netns::boot_id()?, NetNs::host_cookie()?);
    if host.is_some_and(|(boot, of)| boot == boot_id && of != cookie) {
        return Err(Error::OtherHost(paths.state.clone()));
    }
    bpf::check_owner(owner)?;
    Ok(true)
}
