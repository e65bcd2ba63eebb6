//! Facts about the host that the state belongs to.

use rusqlite::OptionalExtension as _;

use super::{Rows, StoreError, from_json, parse, to_json};

const BOOT_ID: &str = "boot_id";
const HOST_COOKIE: &str = "host_cookie";
const OWNER: &str = "owner";
const ULA_GLOBAL_ID: &str = "ula_global_id";

impl Rows<'_> {
    /// The boot that the kernel's side was last made right in, and the host's namespace then.
    pub fn host(self) -> Result<Option<(String, u64)>, StoreError> {
        let Some(boot_id) = self.meta(BOOT_ID)? else {
            return Ok(None);
        };
        let cookie = self.meta(HOST_COOKIE)?.unwrap_or_default();
        Ok(Some((boot_id, parse("host_cookie", &cookie)?)))
    }

    /// Records the boot and the host's namespace.
    pub fn set_host(self, boot_id: &str, cookie: u64) -> Result<(), StoreError> {
        self.set_meta(BOOT_ID, boot_id)?;
        self.set_meta(HOST_COOKIE, &cookie.to_string())
    }

    /// Number of this state, that marks the pins which belong to it; `random` at first use.
    pub fn owner(self, random: u64) -> Result<u64, StoreError> {
        if let Some(owner) = self.meta(OWNER)? {
            return parse("owner", &owner);
        }
        self.set_meta(OWNER, &random.to_string())?;
        Ok(random)
    }

    /// The 40 bits that this host's IPv6 subnets start with (RFC 4193); `random` at first use.
    pub fn ula_global_id(self, random: [u8; 5]) -> Result<[u8; 5], StoreError> {
        if let Some(id) = self.meta(ULA_GLOBAL_ID)? {
            return from_json("ula_global_id", &id);
        }
        self.set_meta(ULA_GLOBAL_ID, &to_json(&random))?;
        Ok(random)
    }

    fn meta(self, key: &str) -> Result<Option<String>, StoreError> {
        let mut query = self
            .0
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(query.query_row([key], |row| row.get(0)).optional()?)
    }

    fn set_meta(self, key: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta VALUES (?1, ?2)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.0.execute(sql, [key, value])?;
        Ok(())
    }
}
