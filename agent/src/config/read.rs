//! Text to resources.

use super::{Report, istio, umbra};

/// Everything that was written, by kind.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    pub agent: Option<umbra::AgentConfig>,
    pub virtual_services: Vec<istio::VirtualService>,
    pub destination_rules: Vec<istio::DestinationRule>,
    pub service_entries: Vec<istio::ServiceEntry>,
}

/// Reads the documents of one source into `resources`; faults go to `report`.
pub fn read(file: &str, text: &str, resources: &mut Resources, report: &mut Report) {
    let _ = (file, text, resources, report);
}
