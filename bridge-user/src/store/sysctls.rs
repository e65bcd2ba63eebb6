//! What sysctls of the host were before we changed them.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Rows, StoreError};
use crate::model::{SavedSysctl, SysctlGroup};

impl Rows<'_> {
    /// Those of a group that were changed in this boot, in the order of putting them back.
    pub fn saved_sysctls(
        self,
        boot_id: &str,
        group: SysctlGroup,
    ) -> Result<Vec<SavedSysctl>, StoreError> {
        let sql = "SELECT key, before, ours FROM sysctls
                   WHERE boot_id = ?1 AND key LIKE ?2 ORDER BY rowid";
        let mut query = self.0.prepare_cached(sql)?;
        let saved = query.query_map([boot_id, &prefix(group)], saved_from)?;
        Ok(saved.collect::<Result<_, _>>()?)
    }

    /// A single one that was changed in this boot.
    pub fn saved_sysctl(self, boot_id: &str, key: &str) -> Result<Option<SavedSysctl>, StoreError> {
        let sql = "SELECT key, before, ours FROM sysctls WHERE boot_id = ?1 AND key = ?2";
        let mut query = self.0.prepare_cached(sql)?;
        Ok(query.query_row([boot_id, key], saved_from).optional()?)
    }

    /// Records what sysctls are before they are changed. What one was that is known of this boot already
    /// stays: it was before.
    pub fn save_sysctls(self, boot_id: &str, sysctls: &[SavedSysctl]) -> Result<(), StoreError> {
        let sql = "DELETE FROM sysctls WHERE boot_id != ?1";
        self.0.execute(sql, [boot_id])?;
        for sysctl in sysctls {
            self.0.execute(
                "INSERT INTO sysctls VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE SET ours = excluded.ours",
                params![sysctl.key, boot_id, sysctl.before, sysctl.ours],
            )?;
        }
        Ok(())
    }

    /// Forgets those of a group.
    pub fn forget_sysctls(self, group: SysctlGroup) -> Result<(), StoreError> {
        let sql = "DELETE FROM sysctls WHERE key LIKE ?1";
        self.0.execute(sql, [prefix(group)])?;
        Ok(())
    }

    /// Forgets a single one.
    pub fn forget_sysctl(self, key: &str) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM sysctls WHERE key = ?1", [key])?;
        Ok(())
    }
}

fn saved_from(row: &Row<'_>) -> rusqlite::Result<SavedSysctl> {
    Ok(SavedSysctl {
        key: row.get(0)?,
        before: row.get(1)?,
        ours: row.get(2)?,
    })
}

fn prefix(group: SysctlGroup) -> String {
    format!("{}/%", group.directory())
}
