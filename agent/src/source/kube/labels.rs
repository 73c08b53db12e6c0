//! Which pods of other nodes the agent must know the labels of. An EndpointSlice says nothing of labels, and a subset is made of
//! them; but of 30,000 pods a node needs the labels of a few. So only those services are looked at to whose subsets something on
//! this node mirrors, and of their pods only the metadata is asked for, by the selector of the service. The watches come and
//! go with the rules.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use super::{
    kinds::{SERVICES, SLICES},
    store::{Selector, Store},
};
use crate::{
    config::Labels,
    route::{Mirroring, Snapshot},
};

/// Watches at a time: a node has no more than 110 pods as a rule, and most of them no mirror.
const AT_MOST: usize = 256;

/// The selectors of the services to whose subsets something on `node` mirrors.
pub(super) fn wanted(snapshot: &Snapshot, store: &Store, node: &str) -> BTreeSet<Selector> {
    let with_subset = |name: &str| name.split('|').nth(2).is_some_and(|subset| !subset.is_empty());
    if !snapshot.clusters().iter().any(|cluster| with_subset(&cluster.name)) {
        return BTreeSet::new();
    }
    let elsewhere = elsewhere(store, node);
    let here =
        snapshot.ports().filter(|(port, _)| port.address.is_none_or(|address| !elsewhere.contains(&address)));
    let mirrors = here.flat_map(|(_, rules)| rules.all_mirrors());
    let mut seen = HashSet::new();
    let hosts = mirrors.filter(|mirror| {
        with_subset(&mirror.cluster.name) && seen.insert(std::sync::Arc::as_ptr(&mirror.cluster))
    });
    let mut wanted: BTreeSet<_> =
        hosts.filter_map(|mirror| selector(&Mirroring::new(mirror).host, store)).collect();
    if wanted.len() > AT_MOST {
        let services = wanted.len();
        tracing::warn!(
            services,
            "too many services with subsets are mirrored to: only {AT_MOST} have their pods' labels watched"
        );
        wanted = wanted.into_iter().take(AT_MOST).collect();
    }
    wanted
}

/// The addresses of endpoints that are known to be on other nodes.
fn elsewhere(store: &Store, node: &str) -> HashSet<IpAddr> {
    let slices = store.of_kind(SLICES).flat_map(|resources| &resources.endpoint_slices);
    let endpoints = slices.flat_map(|slice| &slice.endpoints);
    let others = endpoints.filter(|endpoint| endpoint.node.as_deref().is_some_and(|name| name != node));
    others.flat_map(|endpoint| &endpoint.addresses).map(IpAddr::to_canonical).collect()
}

/// Of the Service with this host. None where there is none, or somebody else writes its endpoints.
fn selector(host: &str, store: &Store) -> Option<Selector> {
    let (name, rest) = host.split_once('.')?;
    let (namespace, _) = rest.split_once(".svc.")?;
    let service = store.get(SERVICES, &(namespace.into(), name.into()))?.services.first()?;
    let labels = (!service.selector.is_empty()).then(|| written(&service.selector))?;
    Some(Selector { namespace: namespace.to_owned(), labels })
}

fn written(labels: &Labels) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}
