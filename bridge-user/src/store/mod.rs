//! Desired state, in one SQLite file: rows and transactions, nothing of the kernel.

mod endpoints;
mod meta;
mod networks;
mod publications;
mod reader;
mod runs;
mod sandboxes;
mod sysctls;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use reader::Reader;
use rusqlite::config::DbConfig;
use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior};

/// `PRAGMA user_version` of a file with `schema.sql`.
pub const SCHEMA_VERSION: i64 = 5;

/// The database in a state directory.
const DATABASE: &str = "state.db";

/// What makes a file of one version, from 1 on, be of the next.
const MIGRATIONS: [&str; 4] = [
    "ALTER TABLE endpoints ADD COLUMN trusted INTEGER NOT NULL DEFAULT 0",
    include_str!("runs.sql"),
    "ALTER TABLE endpoints ADD COLUMN links TEXT NOT NULL DEFAULT '[]'",
    include_str!("outside.sql"),
];

/// How long a command waits for the transactions of others.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made or entered.
    #[error("failed to open state directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read or change what is in the directory.
    #[error("state directory {path} is open to others: its mode is {mode:o}, not 700")]
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// SQLite's word.
    #[error("failed to use the state database")]
    Sqlite(#[from] rusqlite::Error),
    /// The file was written by another version.
    #[error(
        "state database {path} has schema version {found}, this bridge-user knows {SCHEMA_VERSION}"
    )]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A value in the file that no version of ours writes.
    #[error("state database holds {value:?} as {column}: {reason}")]
    Value {
        /// Where.
        column: &'static str,
        /// What.
        value: String,
        /// Why it is none.
        reason: String,
    },
    /// A number or slot space is used up.
    #[error("no free {what} is left: all {limit} are in use")]
    Full {
        /// Network number or port slot.
        what: &'static str,
        /// How many there are.
        limit: u32,
    },
}

impl StoreError {
    /// Whether the file system may have no room, which SQLite tells in several ways.
    pub fn may_be_full_disk(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        let code = error.sqlite_error_code();
        code.is_some_and(|code| matches!(code, ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
    }
}

/// The state of one host.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

/// The rows, as one transaction sees them. Queries and changes are in this module's files, one
/// a noun.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'c>(&'c Connection);

impl Store {
    /// Makes the directory of a state be there, and nobody else's to read (mode 0700).
    pub fn ensure_directory(directory: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::Directory {
            path: directory.into(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
        Self::check_directory(directory)
    }

    /// Refuses a directory that others may read.
    pub fn check_directory(directory: &Path) -> Result<(), StoreError> {
        let metadata = fs::metadata(directory).map_err(|source| StoreError::Directory {
            path: directory.into(),
            source,
        })?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(StoreError::OpenToOthers {
                path: directory.into(),
                mode,
            });
        }
        Ok(())
    }

    /// Whether a state is in a directory.
    pub fn exists(directory: &Path) -> bool {
        directory.join(DATABASE).exists()
    }

    /// Opens the state in a directory.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Directory {
            path: directory.into(),
            source,
        };
        Self::ensure_directory(directory)?;
        // SQLite does not wait for others while it changes the journal mode of a new file.
        let alone = fs::File::open(directory).map_err(failed)?;
        alone.lock().map_err(failed)?;
        let path = directory.join(DATABASE);
        let connection = Connection::open(&path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // A transaction survives our death at once; after a power cut the last ones may be
        // undone, but then the kernel's side is gone too. The journal stays when we close: to write
        // it into the file takes a disk longer than the command. The next ones have to look at it,
        // so it is kept short.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Else a statement is planned anew when its values are known.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;
             PRAGMA wal_autocheckpoint = 200;",
        )?;
        let mut store = Self { connection };
        store.migrate(&path)?;
        Ok(store)
    }

    fn migrate(&mut self, path: &Path) -> Result<(), StoreError> {
        let version = |c: &Connection| c.query_row("PRAGMA user_version", [], |row| row.get(0));
        if version(&self.connection)? == SCHEMA_VERSION {
            return Ok(());
        }
        let tx = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        match version(&tx)? {
            0 => {
                tx.execute_batch(include_str!("schema.sql"))?;
                tx.execute_batch(include_str!("runs.sql"))?;
                tx.execute_batch(include_str!("outside.sql"))?;
            }
            found @ 1..SCHEMA_VERSION => {
                for step in &MIGRATIONS[usize::try_from(found - 1).unwrap_or_default()..] {
                    tx.execute_batch(step)?;
                }
            }
            // Somebody else made the tables while we waited.
            SCHEMA_VERSION => return Ok(()),
            found => {
                return Err(StoreError::SchemaVersion {
                    path: path.into(),
                    found,
                });
            }
        }
        tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        Ok(tx.commit()?)
    }

    /// The rows, outside any transaction: each query sees the newest state.
    pub fn rows(&self) -> Rows<'_> {
        Rows(&self.connection)
    }

    /// Runs `change` in a transaction that takes the write lock first; nothing is kept if it
    /// returns an error.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        change: impl FnOnce(Rows<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        let value = change(Rows(&tx))?;
        tx.commit().map_err(StoreError::from)?;
        Ok(value)
    }
}

/// Parses what a column holds.
fn parse<T: std::str::FromStr<Err: ToString>>(
    column: &'static str,
    value: &str,
) -> Result<T, StoreError> {
    value.parse().map_err(|e: T::Err| StoreError::Value {
        column,
        value: value.to_owned(),
        reason: e.to_string(),
    })
}

/// The columns of a row, one after the other: where there are many rows, to find a column by its name
/// costs more than to read it.
struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    fn of(row: &'a Row<'a>) -> Self {
        Self { row, next: 0 }
    }

    fn next<T: FromSql>(&mut self) -> Result<T, rusqlite::Error> {
        self.next += 1;
        self.row.get(self.next - 1)
    }

    /// A column of text; `column` is its name, for errors.
    fn parse<T>(&mut self, column: &'static str) -> Result<T, StoreError>
    where
        T: std::str::FromStr<Err: ToString>,
    {
        self.next += 1;
        let text = self.row.get_ref(self.next - 1)?.as_str();
        parse(column, text.map_err(rusqlite::Error::from)?)
    }
}

/// Reads a column of JSON.
fn from_json<T: serde::de::DeserializeOwned>(
    column: &'static str,
    value: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(value).map_err(|e| StoreError::Value {
        column,
        value: value.to_owned(),
        reason: e.to_string(),
    })
}

/// Writes a column of JSON: what we keep there has strings for keys and always serialises.
fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("what is kept in columns serialises")
}

/// The lowest number from 1 to `limit` that a sorted list of numbers does not have.
fn lowest_free(taken: &[u16], what: &'static str, limit: u32) -> Result<u16, StoreError> {
    let mut candidate: u32 = 1;
    for used in taken {
        if u32::from(*used) != candidate {
            break;
        }
        candidate += 1;
    }
    u16::try_from(candidate)
        .ok()
        .filter(|n| u32::from(*n) <= limit)
        .ok_or(StoreError::Full { what, limit })
}

#[cfg(test)]
mod tests;
