//! What something on this node is mirrored to. Of a large cluster's rules most are about pods of other nodes: their agents look
//! after those.

use std::{collections::HashSet as Names, net::IpAddr, sync::Arc};

use foldhash::HashSet;

use super::{
    kinds::SLICES,
    store::{Name, Store},
};
use crate::route::{Cluster, Snapshot};

/// Each once.
pub(super) struct Destinations<'s>(Vec<&'s Cluster>);

impl<'s> Destinations<'s> {
    pub(super) fn of(snapshot: &'s Snapshot, store: &Store, node: &str) -> Self {
        let elsewhere = elsewhere(store, node);
        let is_here = |address: Option<IpAddr>| address.is_none_or(|address| !elsewhere.contains(&address));
        let here = snapshot.ports().filter(|(port, _)| is_here(port.address));
        let clusters = here.flat_map(|(_, rules)| rules.all_mirrors()).map(|mirror| &mirror.cluster);
        let mut seen = HashSet::default();
        Self(clusters.filter(|cluster| seen.insert(Arc::as_ptr(cluster))).map(|cluster| &**cluster).collect())
    }

    /// Their Services.
    pub(super) fn services(&self) -> Names<Name> {
        self.0.iter().filter_map(|cluster| service(cluster.host())).collect()
    }

    /// The Services of which a subset is meant.
    pub(super) fn with_subsets(&self) -> impl Iterator<Item = Name> {
        let subset =
            |cluster: &&&Cluster| cluster.name.split('|').nth(2).is_some_and(|name| !name.is_empty());
        self.0.iter().filter(subset).filter_map(|cluster| service(cluster.host()))
    }
}

/// The Service with this host.
fn service(host: &str) -> Option<Name> {
    let (name, rest) = host.split_once('.')?;
    let (namespace, _) = rest.split_once(".svc.")?;
    Some((namespace.into(), name.into()))
}

/// The addresses of endpoints that are known to be on other nodes.
fn elsewhere(store: &Store, node: &str) -> HashSet<IpAddr> {
    let slices = store.of_kind(SLICES).flat_map(|resources| &resources.endpoint_slices);
    let endpoints = slices.flat_map(|slice| &slice.endpoints);
    let others = endpoints.filter(|endpoint| endpoint.node.as_deref().is_some_and(|name| name != node));
    others.flat_map(|endpoint| &endpoint.addresses).map(IpAddr::to_canonical).collect()
}
