//! What cannot be judged because the objects that would tell have faults themselves: a mirror's host may well be in the
//! ServiceEntry that could not be read. Such findings wait until those faults are gone.

use super::{findings::Finding, objects::Objects};
use crate::config::{Code, Diagnostic, Meta};

#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// There may be services of any host.
    any_host: bool,
    /// There may be endpoints of any service.
    endpoints: bool,
    /// Hosts of which not everything could be read.
    hosts: Vec<String>,
}

impl Doubt {
    /// By what was found when the objects were read.
    pub(super) fn of(objects: &Objects<'_>, read: &[Diagnostic]) -> Self {
        let mut doubt = Self::default();
        for fault in read.iter().filter(|fault| fault.is_error()) {
            let Some((kind, name)) = fault.object.as_deref().and_then(|object| object.split_once(' ')) else {
                doubt.any_host = true;
                continue;
            };
            let is = |meta: &Meta| meta.qualified() == name;
            let mut hosts = Vec::new();
            match kind {
                _ if fault.code == Code::UnknownKind => {}
                "ServiceEntry" => {
                    let written = objects.service_entries.iter().filter(|written| is(&written.meta));
                    hosts.extend(written.flat_map(|written| &written.hosts).map(|host| host.value.clone()));
                }
                "DestinationRule" => {
                    let written = objects.destination_rules.iter().filter(|written| is(&written.meta));
                    hosts.extend(written.map(|written| written.host.value.clone()));
                }
                "Service" => {
                    hosts.extend(name.split_once('/').map(|(ns, name)| format!("{name}.{ns}.svc.")));
                }
                "WorkloadEntry" | "EndpointSlice" | "Pod" => {
                    doubt.endpoints = true;
                    continue;
                }
                _ => continue,
            }
            doubt.any_host |= hosts.is_empty();
            doubt.hosts.extend(hosts);
        }
        doubt
    }

    /// Whether a finding may only follow from another fault.
    pub(super) fn covers(&self, finding: &Finding) -> bool {
        let of_host = || self.hosts.iter().any(|host| finding.message.contains(&format!("`{host}")));
        match finding.code {
            Code::UnknownHost | Code::UnmatchedHost => self.any_host,
            Code::UnknownSubset | Code::UnknownPort | Code::UnknownPrimary => self.any_host || of_host(),
            Code::NoEndpoints => self.any_host || self.endpoints || of_host(),
            _ => false,
        }
    }
}
