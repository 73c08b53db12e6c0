//! Which pods of other nodes the agent must know the labels of. An EndpointSlice says nothing of labels, and a subset is made of
//! them; but of 30,000 pods a node needs the labels of a few. So only those services are looked at to whose subsets something on
//! this node mirrors, and of their pods only the metadata is asked for, by the selector of the service. The watches come and
//! go with the rules.

use std::collections::BTreeSet;

use super::{
    destinations::Destinations,
    kinds::SERVICES,
    store::{Name, Selector, Store},
};
use crate::config::Labels;

/// Watches at a time: a node has no more than 110 pods as a rule, and most of them no mirror.
const AT_MOST: usize = 256;

/// The selectors of the services to whose subsets something here is mirrored.
pub(super) fn wanted(destinations: &Destinations<'_>, store: &Store) -> BTreeSet<Selector> {
    let mut wanted: BTreeSet<_> =
        destinations.with_subsets().filter_map(|service| selector(service, store)).collect();
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

/// Of a Service. None where there is none, or somebody else writes its endpoints.
fn selector(service: Name, store: &Store) -> Option<Selector> {
    let found = store.get(SERVICES, &service)?.services.first()?;
    let labels = (!found.selector.is_empty()).then(|| written(&found.selector))?;
    Some(Selector { namespace: service.0.into(), labels })
}

fn written(labels: &Labels) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}
