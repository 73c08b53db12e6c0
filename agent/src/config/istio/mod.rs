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
