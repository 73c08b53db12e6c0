//! VirtualService as written (istio/api `virtual_service.proto`), with the validation of its webhook.

use crate::config::{
    Code, Meta,
    field::Faults,
    fields::{Fields, Names},
    istio::VirtualService,
};

const NOT_HONOURED: Names =
    Names::Istio(&[("tls", "only http rules are mirrored"), ("tcp", "only http rules are mirrored")]);

pub(in crate::config) fn read(faults: &mut Faults<'_>, meta: Meta, mut spec: Fields<'_>) -> VirtualService {
    let hosts: Vec<_> = match spec.get("hosts") {
        Some(field) => field.list(faults).iter().filter_map(|item| super::host(faults, item)).collect(),
        None => Vec::new(),
    };
    super::refuse_repeated(faults, "spec.hosts", "the host", &hosts);
    let gateways = spec.get("gateways").map(|field| field.texts(faults)).unwrap_or_default();
    let mesh = gateways.is_empty() || gateways.iter().any(|gateway| gateway.value == "mesh");
    for any in hosts.iter().filter(|host| mesh && host.value == "*") {
        faults
            .add(Code::BadValue, &any.at, "spec.hosts", "`*` is allowed for gateways only")
            .help("name the hosts");
    }
    let rules = match spec.get("http") {
        Some(field) => field.list(faults),
        None => Vec::new(),
    };
    if rules.is_empty() && !spec.has("tls") && !spec.has("tcp") {
        faults.add(Code::Missing, spec.at(), "spec.http", "is required");
    }
    if hosts.is_empty() && !spec.has("hosts") {
        let what = "without hosts this is a delegate, which is not honoured yet: its rules mirror nothing";
        faults.add(Code::NotHonoured, spec.at(), "spec.hosts", what);
    }
    let http = rules.iter().filter_map(|rule| super::rule::read(faults, rule)).collect();
    let export_to = spec.get("exportTo").map(|field| field.texts(faults)).unwrap_or_default();
    spec.finish(faults, NOT_HONOURED);
    VirtualService { meta, hosts, gateways, http, tls: None, tcp: None, export_to }
}
