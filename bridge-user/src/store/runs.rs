//! Runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Row, params};

use super::{Rows, StoreError, from_json, parse, to_json};
use crate::model::{Id, ProcessId, Run};

const COLUMNS: &str = "id, name, state, created_ns, boot_id, pid, pid_start, keeper, keeper_start, \
                       started_ns, finished_ns, exit_code, remove, config";

impl Rows<'_> {
    /// Every run, the newest first.
    pub fn runs(self) -> Result<Vec<Run>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM runs ORDER BY created_ns DESC, id");
        let mut query = self.0.prepare_cached(&sql)?;
        let mut found = query.query([])?;
        let mut runs = Vec::new();
        while let Some(row) = found.next()? {
            runs.push(run_from(row)?);
        }
        Ok(runs)
    }

    /// The run with this id.
    pub fn run(self, id: &Id) -> Result<Option<Run>, StoreError> {
        self.run_where("id = ?1", id.as_str())
    }

    /// The run with this name.
    pub fn run_named(self, name: &str) -> Result<Option<Run>, StoreError> {
        self.run_where("name = ?1", name)
    }

    fn run_where(self, condition: &str, value: &str) -> Result<Option<Run>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE {condition}");
        let mut query = self.0.prepare_cached(&sql)?;
        let mut found = query.query([value])?;
        found.next()?.map(run_from).transpose()
    }

    /// Writes a run, new or changed.
    pub fn put_run(self, run: &Run) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO runs
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (id) DO UPDATE SET
                 state = excluded.state, pid = excluded.pid, pid_start = excluded.pid_start,
                 keeper = excluded.keeper, keeper_start = excluded.keeper_start,
                 started_ns = excluded.started_ns, finished_ns = excluded.finished_ns,
                 exit_code = excluded.exit_code, remove = excluded.remove",
            params![
                run.id.as_str(),
                run.name.as_str(),
                run.state.as_str(),
                nanoseconds(run.created),
                run.boot_id,
                run.process.map(|process| process.pid),
                run.process.map(|process| process.start_ticks.cast_signed()),
                run.keeper.map(|keeper| keeper.pid),
                run.keeper.map(|keeper| keeper.start_ticks.cast_signed()),
                run.started.map(nanoseconds),
                run.finished.map(nanoseconds),
                run.exit_code,
                run.remove,
                to_json(&run.config),
            ],
        )?;
        Ok(())
    }

    /// Forgets a run.
    pub fn delete_run(self, id: &Id) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM runs WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }
}

fn run_from(row: &Row<'_>) -> Result<Run, StoreError> {
    let text = |column: &str| row.get::<_, String>(column);
    let process = |pid: &str, start: &str| -> Result<Option<ProcessId>, StoreError> {
        let pid: Option<u32> = row.get(pid)?;
        let start: Option<i64> = row.get(start)?;
        Ok(pid.zip(start).map(|(pid, start)| ProcessId {
            pid,
            start_ticks: start.cast_unsigned(),
        }))
    };
    Ok(Run {
        id: parse("id", &text("id")?)?,
        name: parse("name", &text("name")?)?,
        state: parse("state", &text("state")?)?,
        created: time(row.get("created_ns")?),
        boot_id: text("boot_id")?,
        process: process("pid", "pid_start")?,
        keeper: process("keeper", "keeper_start")?,
        started: row.get::<_, Option<i64>>("started_ns")?.map(time),
        finished: row.get::<_, Option<i64>>("finished_ns")?.map(time),
        exit_code: row.get("exit_code")?,
        remove: row.get("remove")?,
        config: from_json("config", &text("config")?)?,
    })
}

/// Since the epoch, as far as SQLite's integers reach: the year 2262.
fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn time(nanoseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
}
