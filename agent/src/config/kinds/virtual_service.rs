//! VirtualService as written (istio/api `virtual_service.proto`), with the validation of its webhook.

use crate::config::{
    Code, Meta,
    field::{Faults, exactly},
    fields::{Fields, Names},
    istio::VirtualService,
};

pub(in crate::config) fn read(faults: &mut Faults<'_>, meta: Meta, mut spec: Fields<'_>) -> VirtualService {
    let hosts = spec.items(faults, "hosts", super::host);
    super::refuse_repeated(faults, "spec.hosts", "the host", &hosts);
    let gateways = spec.texts(faults, "gateways");
    let mesh = gateways.is_empty() || gateways.iter().any(|gateway| gateway.value == "mesh");
    for any in hosts.iter().filter(|host| mesh && host.value == "*") {
        faults
            .add(Code::BadValue, &any.at, "spec.hosts", "`*` is allowed for gateways only")
            .help("name the hosts");
    }
    let place = |spec: &mut Fields<'_>, name| spec.get(name).map(|field| field.at().clone());
    let (tls, tcp) = (place(&mut spec, "tls"), place(&mut spec, "tcp"));
    let http = spec.get("http");
    let before = faults.mark();
    let rules = http.as_ref().map(|field| field.list(faults)).unwrap_or_default();
    if rules.is_empty() && tls.is_none() && tcp.is_none() && !faults.has_errors_since(before) {
        match &http {
            Some(http) => drop(http.fault(faults, Code::Missing, "has no rule")),
            None => drop(faults.add(Code::Missing, spec.at(), "spec.http", "is required")),
        }
    }
    let delegate = !spec.has("hosts");
    if delegate {
        check_delegate(faults, &spec);
    }
    let http = rules.iter().filter_map(|rule| super::rule::read(faults, rule, delegate));
    let http = exactly(rules.len(), http);
    if let Some(nested) = http.iter().filter(|_| delegate).find_map(|rule| rule.delegate.as_ref()) {
        let what = "a delegate cannot delegate further";
        faults.add(Code::Conflict, &nested.at, "spec.http", what).help("delegation has one level");
    }
    let export_to = spec.texts(faults, "exportTo");
    spec.finish(faults, Names::Foreign);
    VirtualService { meta, hosts, gateways, http, tls, tcp, export_to }
}

/// Istio's `validateRootAndDelegate…`: what a VirtualService without hosts may not have.
fn check_delegate(faults: &mut Faults<'_>, spec: &Fields<'_>) {
    for name in ["gateways", "tls", "tcp"].into_iter().filter(|name| spec.has(name)) {
        let what = "a VirtualService without hosts is a delegate, which takes http rules only";
        faults.add(Code::Conflict, spec.at(), &spec.path_of(name), what).help("name its `hosts`");
    }
}
