//! Which workload each endpoint of a cluster is. Most clusters are one, as a subset by version is; what metrics call it
//! is worked out when its first copy is sent, for most clusters never get any.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use once_cell::race::OnceBox;

use super::{At, Endpoint};
use crate::{
    config::Labels,
    record::{Serving, Workload},
};

#[derive(Debug, Default)]
pub struct Workloads {
    /// Of the service.
    namespace: Arc<str>,
    labels: Alike,
    known: OnceBox<Known>,
}

/// The labels of a cluster's endpoints.
#[derive(Debug, Default)]
enum Alike {
    /// There are no endpoints.
    #[default]
    None,
    All(Arc<Labels>),
    /// In the order of the endpoints.
    Each(Box<[Arc<Labels>]>),
}

#[derive(Debug)]
struct Known {
    all: Option<Arc<Serving>>,
    by_address: BTreeMap<SocketAddr, Arc<Serving>>,
}

impl Workloads {
    /// `labels` in the order of the cluster's endpoints.
    pub(super) fn new(namespace: Arc<str>, labels: &[Arc<Labels>]) -> Self {
        let labels = match labels {
            [] => Alike::None,
            [first, others @ ..] if others.iter().all(|it| Arc::ptr_eq(it, first)) => {
                Alike::All(Arc::clone(first))
            }
            labels => Alike::Each(labels.into()),
        };
        Self { namespace, labels, known: OnceBox::new() }
    }

    pub(super) fn served(
        &self,
        service: &str,
        endpoints: &[Endpoint],
        at: Option<SocketAddr>,
    ) -> Option<&Arc<Serving>> {
        let known = self.known.get_or_init(|| Box::new(self.known(service, endpoints)));
        known.all.as_ref().or_else(|| known.by_address.get(&at?))
    }

    fn known(&self, service: &str, endpoints: &[Endpoint]) -> Known {
        let service: Arc<str> = service.into();
        let namespace = &self.namespace;
        let serve = |labels: &Labels| {
            let workload = Arc::new(workload(namespace, labels));
            let (service, namespace) = (Arc::clone(&service), Arc::clone(namespace));
            Arc::new(Serving { service, namespace, workload })
        };
        match &self.labels {
            Alike::None => Known { all: Some(serve(&Labels::NONE)), by_address: BTreeMap::new() },
            Alike::All(labels) => Known { all: Some(serve(labels)), by_address: BTreeMap::new() },
            Alike::Each(each) => {
                let mut alike = BTreeMap::<&Labels, Arc<Serving>>::new();
                let addressed =
                    endpoints.iter().zip(each).filter_map(|(endpoint, labels)| match endpoint.at {
                        At::Address(address) => Some((address, labels)),
                        At::Name { .. } => None,
                    });
                let served = addressed.map(|(address, labels)| {
                    let served = alike.entry(&**labels).or_insert_with(|| serve(labels));
                    (address, Arc::clone(served))
                });
                Known { by_address: served.collect(), all: None }
            }
        }
    }
}

/// Made when it is first asked for; a clone begins anew.
#[derive(Debug, Default)]
pub(super) struct Late(OnceBox<Arc<Serving>>);

impl Late {
    pub(super) fn get(&self, make: impl FnOnce() -> Serving) -> &Arc<Serving> {
        self.0.get_or_init(|| Box::new(Arc::new(make())))
    }
}

impl Clone for Late {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What labels tell of an endpoint in a namespace.
pub(super) fn workload(namespace: &str, labels: &Labels) -> Workload {
    Workload::new(None, namespace, |name| labels.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Cluster;

    fn labels(version: &str) -> Arc<Labels> {
        Arc::new([("app", "cart"), ("version", version)].into_iter().collect())
    }

    fn version(cluster: &Cluster, at: Option<SocketAddr>) -> Option<&str> {
        cluster.served(at)?.workload.version.as_deref()
    }

    #[test]
    fn a_copy_is_sent_to_the_workload_at_its_endpoint() {
        let at = |last| SocketAddr::from(([10, 0, 0, last], 80));
        let cluster = |each: &[Arc<Labels>]| Cluster {
            workloads: Workloads::new("shop".into(), each),
            ..Cluster::plain("outbound|80|v2|cart.shop.svc.cluster.local", [at(1), at(2), at(3)])
        };
        let (one, two) = (labels("v1"), labels("v2"));
        let alike = cluster(&[Arc::clone(&one), Arc::clone(&one), Arc::clone(&one)]);
        assert_eq!((version(&alike, None), version(&alike, Some(at(9)))), (Some("v1"), Some("v1")));
        assert_eq!(alike.served(None).unwrap().name(), "cart");

        let mixed = cluster(&[Arc::clone(&one), two, one]);
        assert_eq!((version(&mixed, Some(at(2))), version(&mixed, Some(at(3)))), (Some("v2"), Some("v1")));
        assert_eq!((version(&mixed, None), version(&mixed, Some(at(9)))), (None, None));
        assert!(Arc::ptr_eq(mixed.served(Some(at(1))).unwrap(), mixed.served(Some(at(3))).unwrap()));
    }
}
