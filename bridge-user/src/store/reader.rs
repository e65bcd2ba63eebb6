//! Reading the state again whenever it changed, for who runs longer than a command.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{DATABASE, Rows, SCHEMA_VERSION, StoreError};

/// Readers do not wait for writers (WAL), but for one that recovers the journal after a crash.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads the state in a directory, which may be removed and made anew meanwhile.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    open: Option<Open>,
    seen: Seen,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Device and inode: another file of the same name is another state.
    file: (u64, u64),
}

/// What was read last.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    NoState,
    /// SQLite's count of what others committed, as this connection sees it.
    Version(i64),
}

impl Reader {
    /// Opens nothing yet.
    pub fn new(directory: &Path) -> Self {
        Self {
            path: directory.join(DATABASE),
            open: None,
            seen: Seen::Nothing,
        }
    }

    /// Calls `read` if the state may have changed since it was called last, in one transaction, or
    /// with `None` where there is no state. Looking costs some microseconds: a stat(2) and what
    /// `PRAGMA data_version` takes.
    pub fn if_changed<T>(
        &mut self,
        read: impl FnOnce(Option<Rows<'_>>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if !self.ensure_open()? {
            if self.seen == Seen::NoState {
                return Ok(None);
            }
            let value = read(None)?;
            self.seen = Seen::NoState;
            return Ok(Some(value));
        }
        let open = self.open.as_ref().expect("it was opened above");
        let number = |pragma| {
            let mut query = open.connection.prepare_cached(pragma)?;
            query.query_row([], |row| row.get::<_, i64>(0))
        };
        let version = Seen::Version(number("PRAGMA data_version")?);
        if self.seen == version {
            return Ok(None);
        }
        let transaction = open.connection.unchecked_transaction()?;
        let value = match number("PRAGMA user_version")? {
            // Being made by the first command.
            0 => return Ok(None),
            SCHEMA_VERSION => read(Some(Rows(&transaction)))?,
            found => {
                return Err(StoreError::SchemaVersion {
                    path: self.path.clone(),
                    found,
                });
            }
        };
        drop(transaction);
        self.seen = version;
        Ok(Some(value))
    }

    /// `false` where there is no state.
    fn ensure_open(&mut self) -> Result<bool, StoreError> {
        let file = match fs::metadata(&self.path) {
            Ok(file) => (file.dev(), file.ino()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.open = None;
                return Ok(false);
            }
            Err(source) => {
                let path = self.path.clone();
                return Err(StoreError::Directory { path, source });
            }
        };
        if self.open.as_ref().is_some_and(|open| open.file == file) {
            return Ok(true);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // The journal is not ours to remove: it may be that of a state made in this one's place.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        self.open = Some(Open { connection, file });
        self.seen = Seen::Nothing;
        Ok(true)
    }
}
