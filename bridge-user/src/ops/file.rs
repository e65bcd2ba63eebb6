//! Plain files of ours: rewritten in place, gone or not, and errors that name them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Error;
use crate::fault;

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

/// The text of a file, `None` where there is none. What others wrote may be in any encoding: a byte
/// is a character here (Latin-1), and we write ASCII only.
pub(super) fn text_of(path: &Path) -> Result<Option<String>, Error> {
    match open(path, OpenOptions::new().read(true)) {
        Ok(mut file) => Ok(Some(read(&mut file, path)?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("open", path)(e)),
    }
}

/// Rewrites a file in place, if its text changes.
pub(super) fn update(path: &Path, text: impl FnOnce(&str) -> String) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = open(path, options).map_err(failed("open", path))?;
    let present = read(&mut file, path)?;
    let wanted = text(&present);
    if wanted == present {
        return Ok(());
    }
    let bytes: Vec<u8> = if wanted.is_ascii() {
        wanted.into_bytes()
    } else {
        let byte = |c| u8::try_from(c).expect("it came of a byte, or is ASCII");
        wanted.chars().map(byte).collect()
    };
    let mut write = || {
        file.rewind()?;
        file.write_all(&bytes)?;
        fault::step();
        file.set_len(bytes.len() as u64)
    };
    write().map_err(failed("write", path))
}

/// The text of a file in UTF-8.
pub(super) fn read_whole(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path, OpenOptions::new().read(true))?.read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a regular file, and no other: of those some never end.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // A FIFO would keep us waiting.
    let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

fn read(file: &mut File, path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.is_ascii() {
        return Ok(String::from_utf8(bytes).expect("ASCII is UTF-8"));
    }
    Ok(bytes.into_iter().map(char::from).collect())
}
