//! Facts about the host that the state belongs to.

use rusqlite::OptionalExtension as _;

use super::{Rows, StoreError, parse};
use crate::model::{FlowLinks, Id, OthersRules};

const BOOT_ID: &str = "boot_id";
const HOST_COOKIE: &str = "host_cookie";
const OWNER: &str = "owner";
const ULA_GLOBAL_ID: &str = "ula_global_id";
const DEFAULT_ADDRESS_POOLS: &str = "default_address_pools";
const OTHERS_RULES: &str = "others_rules";
const FLOW_LINKS: &str = "flow_links";

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

    /// Number of this state, that marks the pins which belong to it.
    pub fn owner(self) -> Result<u64, StoreError> {
        Ok(u64::from_be_bytes(self.random(OWNER)?))
    }

    /// The id of a built-in network, made or not.
    pub fn builtin_id(self, name: &str) -> Result<Id, StoreError> {
        Ok(Id::from_bytes(self.random(&format!("id_of_{name}"))?))
    }

    /// The 40 bits that this host's IPv6 subnets start with (RFC 4193, 3.2.1).
    pub fn ula_global_id(self) -> Result<[u8; 5], StoreError> {
        self.random(ULA_GLOBAL_ID)
    }

    /// The blocks that the daemon was told to take subnets from, as it was told, each a word.
    pub fn default_address_pools(self) -> Result<Option<String>, StoreError> {
        self.meta(DEFAULT_ADDRESS_POOLS)
    }

    /// Records them, or that there are none.
    pub fn set_default_address_pools(self, pools: Option<&str>) -> Result<(), StoreError> {
        match pools {
            Some(pools) => self.set_meta(DEFAULT_ADDRESS_POOLS, pools),
            None => self.delete_meta(DEFAULT_ADDRESS_POOLS),
        }
    }

    /// What rules of others asked of flows by these links when they were last looked at; `None` where they
    /// are to be looked at again.
    pub fn others_rules(self, links: &FlowLinks) -> Result<Option<OthersRules>, StoreError> {
        if self.meta(FLOW_LINKS)? != Some(links.to_string()) {
            return Ok(None);
        }
        Ok(self.meta(OTHERS_RULES)?.map(OthersRules::from))
    }

    /// Records it, or that they are to be looked at again.
    pub fn set_others_rules(
        self,
        looked_at: Option<(&OthersRules, &FlowLinks)>,
    ) -> Result<(), StoreError> {
        let Some((rules, links)) = looked_at else {
            self.delete_meta(FLOW_LINKS)?;
            return self.delete_meta(OTHERS_RULES);
        };
        self.set_meta(FLOW_LINKS, &links.to_string())?;
        self.set_meta(OTHERS_RULES, rules.as_str())
    }

    /// Whether anything is recorded of them.
    pub fn has_others_rules(self) -> Result<bool, StoreError> {
        Ok(self.meta(FLOW_LINKS)?.is_some())
    }

    /// Bytes that were drawn when the state was made.
    fn random<const N: usize>(self, key: &str) -> Result<[u8; N], StoreError> {
        let text = self.meta(key)?.unwrap_or_default();
        let mut bytes = [0; N];
        let digits = text.len() == 2 * N && text.is_ascii();
        let read = bytes.iter_mut().enumerate().try_for_each(|(at, byte)| {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
            Some(())
        });
        match read.filter(|()| digits) {
            Some(()) => Ok(bytes),
            None => Err(StoreError::Value {
                column: "value",
                reason: format!("{key} has {} hexadecimal digits", 2 * N),
                value: text,
            }),
        }
    }

    fn meta(self, key: &str) -> Result<Option<String>, StoreError> {
        let mut query = self
            .0
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(query.query_row([key], |row| row.get(0)).optional()?)
    }

    fn delete_meta(self, key: &str) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM meta WHERE key = ?1", [key])?;
        Ok(())
    }

    fn set_meta(self, key: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta VALUES (?1, ?2)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.0.execute(sql, [key, value])?;
        Ok(())
    }
}
