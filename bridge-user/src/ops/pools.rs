//! Where the subnets of networks come from that were given none: what the daemon was last started
//! with, else what the configuration says.

use super::{Context, Error, Paths};
use crate::ipam::{AddressPool, AddressPools};
use crate::store::StoreError;

/// Has commands take subnets from `pools`, or from where the configuration says if there are none.
/// Without them no state is made where there is none.
pub fn set_address_pools(paths: &Paths, pools: &[AddressPool]) -> Result<(), Error> {
    let text = pools.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (context, text) = if pools.is_empty() {
        (Context::open_existing(paths)?, None)
    } else {
        (Some(Context::open(paths)?), Some(text.join(" ")))
    };
    let Some(mut context) = context else {
        return Ok(());
    };
    if context.store.rows().default_address_pools()? == text {
        return Ok(());
    }
    Ok(context
        .store
        .write(|rows| rows.set_default_address_pools(text.as_deref()))?)
}

impl Context {
    /// Blocks that subnets are taken from.
    pub(super) fn address_pools(&self) -> Result<AddressPools, Error> {
        let Some(text) = self.store.rows().default_address_pools()? else {
            return Ok(self.config.networks.default_address_pools.clone());
        };
        let pools: Result<Vec<AddressPool>, _> = text.split(' ').map(str::parse).collect();
        let pools = pools.map_err(|e| StoreError::Value {
            column: "default_address_pools",
            value: text,
            reason: e.to_string(),
        })?;
        Ok(pools.into())
    }
}
