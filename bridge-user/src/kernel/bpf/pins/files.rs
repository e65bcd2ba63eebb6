//! Files and directories of pins, as files: what is gone already is no error.

use std::fs;
use std::io;
use std::path::Path;

use super::super::BpfError;
use crate::fault;

pub(super) fn remove_all(directory: &Path) -> Result<(), BpfError> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(file_failed("read", directory))?,
    };
    for entry in entries {
        ensure_file_absent(&entry.map_err(file_failed("read", directory))?.path())?;
        fault::step();
    }
    Ok(())
}

pub(in super::super) fn ensure_file_absent(path: &Path) -> Result<(), BpfError> {
    absent_is_fine(fs::remove_file(path)).map_err(file_failed("remove", path))
}

pub(super) fn ensure_directory_absent(path: &Path) -> Result<(), BpfError> {
    absent_is_fine(fs::remove_dir(path)).map_err(file_failed("remove", path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(in super::super) fn file_failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> BpfError {
    let path = path.to_owned();
    move |source| BpfError::File {
        action,
        path,
        source,
    }
}
