//! `networking.istio.io` as written. Field names are Istio's; the meaning of each is in Istio's reference of the kind.
//! What the agent does not honour is kept all the same and named by a warning (`honoured.rs`).

mod destination_rule;
mod service_entry;
mod traffic_policy;
mod virtual_service;

pub use destination_rule::*;
pub use service_entry::*;
pub use traffic_policy::*;
pub use virtual_service::*;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of one value, without what it points to. A configuration of 10,000 services with 5 rules and 10 endpoints
    /// each is kept within 300 MiB: a field that few objects have is boxed.
    #[test]
    fn what_is_kept_by_the_ten_thousand_is_small() {
        let sizes = [
            ("VirtualService", size_of::<VirtualService>(), 232),
            ("HttpRoute", size_of::<HttpRoute>(), 360),
            ("HttpMatch", size_of::<HttpMatch>(), 304),
            ("RouteDestination", size_of::<RouteDestination>(), 168),
            ("DestinationRule", size_of::<DestinationRule>(), 232),
            ("Subset", size_of::<Subset>(), 56),
            ("ServiceEntry", size_of::<ServiceEntry>(), 312),
            ("WorkloadEndpoint", size_of::<WorkloadEndpoint>(), 96),
        ];
        let large: Vec<_> = sizes.iter().filter(|(_, size, bound)| size > bound).collect();
        assert!(large.is_empty(), "larger than (bound last): {large:?}");
    }
}
