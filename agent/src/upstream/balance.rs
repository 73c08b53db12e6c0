//! Whose turn it is: round robin over the endpoints of a cluster, one cursor per worker and cluster.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use crate::route::Cluster;

/// The cursors of one worker. A cluster that changed is a new one and starts anew.
#[derive(Debug, Default)]
pub struct Balancer {
    // The Weak keeps the address taken for as long as it is a key here.
    cursors: HashMap<*const Cluster, (Weak<Cluster>, usize)>,
}

impl Balancer {
    /// The next endpoint; None when the cluster has none.
    pub fn pick(&mut self, cluster: &Arc<Cluster>) -> Option<SocketAddr> {
        let endpoints = &cluster.endpoints;
        if endpoints.len() < 2 {
            return endpoints.first().copied();
        }
        let (_, cursor) =
            self.cursors.entry(Arc::as_ptr(cluster)).or_insert_with(|| (Arc::downgrade(cluster), 0));
        let picked = endpoints[*cursor % endpoints.len()];
        *cursor = (*cursor + 1) % endpoints.len();
        Some(picked)
    }

    /// Forgets clusters that no snapshot and no copy knows any more: bounds the map by the configuration.
    pub fn sweep(&mut self) {
        self.cursors.retain(|_, (cluster, _)| cluster.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(ports: &[u16]) -> Arc<Cluster> {
        let endpoints = ports.iter().map(|&port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        Arc::new(Cluster { name: "outbound|80|v2|my-app".into(), endpoints })
    }

    #[test]
    fn every_endpoint_has_its_turn() {
        let (one, two) = (cluster(&[1, 2, 3]), cluster(&[8, 9]));
        let mut balancer = Balancer::default();
        let mut next = |cluster| balancer.pick(cluster).unwrap().port();
        assert_eq!([next(&one), next(&two), next(&one), next(&two)], [1, 8, 2, 9]);
        assert_eq!([next(&one), next(&one), next(&two)], [3, 1, 8]);
    }

    #[test]
    fn a_cluster_without_endpoints_has_none() {
        assert_eq!(Balancer::default().pick(&cluster(&[])), None);
    }

    #[test]
    fn clusters_gone_from_the_configuration_are_forgotten() {
        let (gone, kept) = (cluster(&[1, 2]), cluster(&[3, 4]));
        let mut balancer = Balancer::default();
        balancer.pick(&gone);
        balancer.pick(&kept);
        drop(gone);
        balancer.sweep();
        assert_eq!(balancer.cursors.len(), 1);
        assert_eq!(balancer.pick(&kept).unwrap().port(), 4);
    }
}
