//! Rules by address and port, in shards: a change copies the shards it touches, and shares the others with the snapshot
//! before.

use std::{net::IpAddr, sync::Arc};

use foldhash::HashMap;

use super::PortRules;

/// So many that one of them is small where there are 100,000 endpoints.
const SHARDS: usize = 1024;

type Shard = HashMap<(IpAddr, u16), Arc<PortRules>>;

#[derive(Clone, Debug)]
pub(super) struct Index(Box<[Arc<Shard>]>);

impl Default for Index {
    fn default() -> Self {
        Self(vec![Arc::default(); SHARDS].into())
    }
}

impl Index {
    pub(super) fn get(&self, key: &(IpAddr, u16)) -> Option<&Arc<PortRules>> {
        self.0[shard(key)].get(key)
    }

    pub(super) fn insert(&mut self, key: (IpAddr, u16), rules: Arc<PortRules>) {
        Arc::make_mut(&mut self.0[shard(&key)]).insert(key, rules);
    }

    pub(super) fn remove(&mut self, key: &(IpAddr, u16)) {
        let shard = &mut self.0[shard(key)];
        if shard.contains_key(key) {
            Arc::make_mut(shard).remove(key);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&(IpAddr, u16), &Arc<PortRules>)> {
        self.0.iter().flat_map(|shard| &**shard)
    }
}

/// Neighbouring addresses go to different shards.
fn shard((address, port): &(IpAddr, u16)) -> usize {
    let low = match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            address.segments().into_iter().fold(0, |sum: u32, part| sum.rotate_left(5) ^ u32::from(part))
        }
    };
    (low ^ u32::from(*port) << 3) as usize % SHARDS
}
