//! Plain files of ours: gone or not, and errors that name them.

use std::fs;
use std::io;
use std::path::Path;

use super::Error;

/// Makes a file gone.
pub(super) fn ensure_file_absent(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(failed("remove", path)),
    }
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}
