//! Sandboxes.

use rusqlite::{Row, params};

use super::{Columns, Rows, StoreError};
use crate::model::{Id, Sandbox};

const COLUMNS: &str = "id, reference, cookie, inode, boot_id, created, owns_hosts";

impl Rows<'_> {
    /// Every sandbox.
    pub fn sandboxes(self) -> Result<Vec<Sandbox>, StoreError> {
        self.sandboxes_where("1 = ?1", &1)
    }

    /// The sandbox with this id.
    pub fn sandbox(self, id: &Id) -> Result<Option<Sandbox>, StoreError> {
        Ok(self.sandboxes_where("id = ?1", &id.as_str())?.pop())
    }

    /// The sandbox whose namespace has this cookie in this boot.
    pub fn sandbox_with_cookie(
        self,
        boot_id: &str,
        cookie: u64,
    ) -> Result<Option<Sandbox>, StoreError> {
        let mut found = self.sandboxes_where("cookie = ?1", &cookie.cast_signed())?;
        found.retain(|sandbox| sandbox.boot_id == boot_id);
        Ok(found.pop())
    }

    /// The sandboxes that a user named so.
    pub fn sandboxes_named(self, reference: &str) -> Result<Vec<Sandbox>, StoreError> {
        self.sandboxes_where("reference = ?1", &reference)
    }

    fn sandboxes_where(
        self,
        condition: &str,
        value: &dyn rusqlite::ToSql,
    ) -> Result<Vec<Sandbox>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM sandboxes WHERE {condition} ORDER BY id");
        let mut query = self.0.prepare_cached(&sql)?;
        let mut found = query.query([value])?;
        let mut sandboxes = Vec::new();
        while let Some(row) = found.next()? {
            sandboxes.push(sandbox_from(row)?);
        }
        Ok(sandboxes)
    }

    /// Writes a new sandbox.
    pub fn insert_sandbox(self, sandbox: &Sandbox) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO sandboxes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                sandbox.id.as_str(),
                sandbox.reference.to_string(),
                sandbox.cookie.cast_signed(),
                sandbox.inode.cast_signed(),
                sandbox.boot_id,
                sandbox.created,
                sandbox.owns_hosts,
            ],
        )?;
        Ok(())
    }

    /// Records what the kernel calls the namespace since it came back after a reboot.
    pub fn set_sandbox_identity(
        self,
        id: &Id,
        boot_id: &str,
        cookie: u64,
        inode: u64,
    ) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE sandboxes SET boot_id = ?2, cookie = ?3, inode = ?4 WHERE id = ?1",
            params![
                id.as_str(),
                boot_id,
                cookie.cast_signed(),
                inode.cast_signed()
            ],
        )?;
        Ok(())
    }

    /// Records that the sandbox's hosts file is ours.
    pub fn set_owns_hosts(self, id: &Id) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE sandboxes SET owns_hosts = 1 WHERE id = ?1",
            [id.as_str()],
        )?;
        Ok(())
    }

    /// Forgets a sandbox. Fails while an endpoint refers to it.
    pub fn delete_sandbox(self, id: &Id) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM sandboxes WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }
}

fn sandbox_from(row: &Row<'_>) -> Result<Sandbox, StoreError> {
    let mut row = Columns::of(row);
    Ok(Sandbox {
        id: row.parse("id")?,
        reference: row.parse("reference")?,
        cookie: row.next::<i64>()?.cast_unsigned(),
        inode: row.next::<i64>()?.cast_unsigned(),
        boot_id: row.next()?,
        created: row.next()?,
        owns_hosts: row.next()?,
    })
}
