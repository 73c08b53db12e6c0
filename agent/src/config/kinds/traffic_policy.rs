//! `trafficPolicy` of a DestinationRule, with the validation of Istio's webhook (`validateTrafficPolicy`).

mod balancing;
mod connections;

use super::one_host;
use crate::config::{
    Code,
    field::{Faults, Field},
    fields::{Fields, Names::Foreign},
    istio::{PolicyBlocks, PortPolicy, ProxyProtocolVersion, RetryBudget, TrafficPolicy, Tunnel},
};

pub(super) fn read(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<TrafficPolicy> {
    fields.child(faults, "trafficPolicy", Foreign, |faults, fields, at| {
        let blocks = blocks(faults, fields);
        let port_level_settings = fields.items(faults, "portLevelSettings", port);
        let ports = port_level_settings.iter().map(|settings| &settings.port);
        super::refuse_repeated(faults, &fields.path_of("portLevelSettings"), "the port", ports);
        Some(TrafficPolicy {
            at,
            blocks,
            port_level_settings,
            tunnel: tunnel(faults, fields),
            proxy_protocol: fields.child(faults, "proxyProtocol", Foreign, |faults, fields, _| {
                let versions = &[("V1", ProxyProtocolVersion::V1), ("V2", ProxyProtocolVersion::V2)];
                fields.one_of(faults, "version", versions)
            }),
            retry_budget: fields.child(faults, "retryBudget", Foreign, |faults, fields, at| {
                Some(RetryBudget {
                    at,
                    percent: fields.get("percent").and_then(|field| field.within(faults, 0.0..=100.0)),
                    min_retry_concurrency: fields.integer(faults, "minRetryConcurrency", 0..=u32::MAX),
                    budget_interval: fields.duration(faults, "budgetInterval"),
                })
            }),
        })
    })
}

fn blocks(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> PolicyBlocks {
    PolicyBlocks {
        load_balancer: balancing::load_balancer(faults, fields),
        connection_pool: connections::pool(faults, fields),
        outlier_detection: balancing::outlier_detection(faults, fields),
        tls: connections::tls(faults, fields),
    }
}

fn port(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<PortPolicy> {
    field.map(faults, Foreign, |faults, fields, at| {
        let port = fields.required(faults, "port").and_then(|field| {
            field.map(faults, Foreign, |faults, fields, _| {
                fields.required(faults, "number").and_then(|field| field.port(faults))
            })
        });
        let blocks = blocks(faults, fields);
        Some(PortPolicy { at, port: port?, blocks })
    })
}

fn tunnel(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<Tunnel> {
    fields.child(faults, "tunnel", Foreign, |faults, fields, at| {
        let protocol = fields.word(faults, "protocol");
        if let Some(other) =
            protocol.as_ref().filter(|protocol| !["CONNECT", "POST"].contains(&protocol.as_str()))
        {
            let what = format!("`{}` is not known here", other.value);
            faults
                .add(Code::BadValue, &other.at, &fields.path_of("protocol"), what)
                .help("one of: CONNECT, POST");
        }
        let target_host = fields.required(faults, "targetHost").and_then(|field| one_host(faults, &field));
        let target_port = fields.required(faults, "targetPort").and_then(|field| field.port(faults));
        Some(Tunnel { at, protocol, target_host: target_host?, target_port: target_port? })
    })
}
