//! Services of Kubernetes: their endpoints are those of their EndpointSlices, or, where no slice was given, the pods that
//! the selector names.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::{Address, Endpoint, HTTP, HTTP2, Kind, Labels, Port, Ports, Service, Target, named_after};
use crate::{
    config::{
        Resources,
        kubernetes::{self, EndpointSlice, KubePort, Pod, PodPhase, SliceEndpoint, TargetPort, Transport},
    },
    route::{Answers, Protocol, hosts},
};

/// Names of ports, and values of `appProtocol`, that Istio takes for something that is not plain HTTP. Under any other
/// name it looks into the connection, as the agent does.
const NOT_HTTP: [&str; 7] = ["https", "tcp", "tls", "udp", "mongo", "mysql", "redis"];
const H2C: &str = "kubernetes.io/h2c";
const APP_PROTOCOLS: [&str; 2] = [H2C, "kubernetes.io/ws"];

/// Pods, by what they are looked up by.
pub(super) struct Workloads<'a> {
    by_namespace: HashMap<&'a str, Vec<&'a Pod>>,
    by_name: HashMap<(&'a str, &'a str), &'a Pod>,
    by_address: HashMap<IpAddr, &'a Pod>,
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

impl<'a> Workloads<'a> {
    pub(super) fn new(resources: &'a Resources) -> Self {
        let mut workloads =
            Self { by_namespace: HashMap::new(), by_name: HashMap::new(), by_address: HashMap::new() };
        let over = |pod: &&Pod| matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed);
        for pod in resources.pods.iter().filter(|pod| !over(pod)) {
            let namespace = pod.meta.namespace.as_str();
            workloads.by_namespace.entry(namespace).or_default().push(pod);
            workloads.by_name.insert((namespace, pod.meta.name.as_str()), pod);
            if !pod.host_network {
                workloads.by_address.extend(pod.ips.iter().map(|address| (address.to_canonical(), pod)));
            }
        }
        workloads
    }

    /// Pods of a namespace with all of these labels.
    pub(super) fn selected(
        &self,
        namespace: &str,
        selector: &BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a Pod> {
        let has_all = |pod: &&&Pod| selector.iter().all(|(k, v)| pod.meta.labels.get(k) == Some(v));
        self.by_namespace.get(namespace).into_iter().flatten().filter(has_all).copied()
    }

    pub(super) fn services(&self, resources: &'a Resources, shared: &mut Labels<'a>) -> Vec<Service<'a>> {
        let mut slices = HashMap::<(&str, &str), Vec<&'a EndpointSlice>>::new();
        for slice in &resources.endpoint_slices {
            if let Some(service) = &slice.service {
                slices.entry((&slice.meta.namespace, service)).or_default().push(slice);
            }
        }
        let mut services = Vec::with_capacity(resources.services.len());
        for service in &resources.services {
            let key = (service.meta.namespace.as_str(), service.meta.name.as_str());
            let endpoints: Vec<_> = match slices.get(&key) {
                Some(slices) => self.of_slices(service, slices, shared),
                None => match &service.external_name {
                    Some(name) => vec![named(name, shared)],
                    None => self.of_pods(service, shared),
                },
            };
            services.push(Service {
                host: hosts::resolve(&service.meta.name, &service.meta.namespace).into(),
                kind: Kind::Kubernetes,
                meta: &service.meta,
                ports: service
                    .ports
                    .iter()
                    .filter(|p| p.transport == Transport::Tcp)
                    .map(|p| port(p, service))
                    .collect(),
                endpoints: endpoints.into(),
                addresses: service.cluster_ips.iter().map(IpAddr::to_canonical).collect(),
                headless: service.headless,
                alias: service.external_name.as_ref(),
                external: service.external_name.is_some(),
                subject_alt_names: &[],
                export_to: &service.export_to,
            });
        }
        services
    }

    fn of_slices(
        &self,
        service: &kubernetes::Service,
        slices: &[&'a EndpointSlice],
        shared: &mut Labels<'a>,
    ) -> Vec<Endpoint<'a>> {
        let mut endpoints = Vec::new();
        for (slice, endpoint) in slices.iter().flat_map(|s| s.endpoints.iter().map(move |e| (s, e))) {
            for address in &endpoint.addresses {
                endpoints.push(Endpoint {
                    address: Address::Ip(address.to_canonical()),
                    weight: 1,
                    labels: shared.share(self.labels(endpoint, *address)),
                    ready: endpoint.ready || service.publish_not_ready_addresses,
                    ports: Ports::Slice(&slice.ports),
                });
            }
        }
        endpoints
    }

    /// A slice knows no labels; its pod does.
    fn labels(&self, endpoint: &SliceEndpoint, address: IpAddr) -> &'a BTreeMap<String, String> {
        let named = endpoint.pod.as_ref();
        let named = named.and_then(|pod| self.by_name.get(&(pod.namespace.as_str(), pod.name.as_str())));
        let pod = named.or_else(|| self.by_address.get(&address.to_canonical()));
        pod.map_or(&NO_LABELS, |pod| &pod.meta.labels)
    }

    fn of_pods(&self, service: &'a kubernetes::Service, shared: &mut Labels<'a>) -> Vec<Endpoint<'a>> {
        // Without a selector somebody else writes the endpoints.
        if service.selector.is_empty() {
            return Vec::new();
        }
        let mut endpoints = Vec::new();
        for pod in self.selected(&service.meta.namespace, &service.selector) {
            let ready = pod.ready && !pod.terminating || service.publish_not_ready_addresses;
            endpoints.extend(pod.ips.iter().map(|address| Endpoint {
                address: Address::Ip(address.to_canonical()),
                weight: 1,
                labels: shared.share(&pod.meta.labels),
                ready,
                ports: Ports::Pod(&pod.ports),
            }));
        }
        endpoints
    }
}

/// What an ExternalName stands for, as its only endpoint.
fn named<'a>(name: &'a str, shared: &mut Labels<'a>) -> Endpoint<'a> {
    let address = match name.parse::<IpAddr>() {
        Ok(address) => Address::Ip(address.to_canonical()),
        Err(_) => Address::Name(name, Answers::All),
    };
    let labels = shared.share(&NO_LABELS);
    Endpoint { address, weight: 1, labels, ready: true, ports: Ports::Written(&NO_PORTS) }
}

static NO_PORTS: BTreeMap<String, u16> = BTreeMap::new();

fn port<'a>(port: &'a KubePort, service: &kubernetes::Service) -> Port<'a> {
    let target = match &port.target {
        // A name is all that an ExternalName changes: who dials it dials the service's port.
        _ if service.external_name.is_some() => Target::Number(port.number.value),
        TargetPort::Number(number) => Target::Number(*number),
        TargetPort::Name(name) => Target::Name(name),
    };
    Port {
        number: port.number.value,
        name: &port.name,
        speaks_http: speaks_http(port),
        is_https: port.app_protocol.as_deref().unwrap_or(&port.name).eq_ignore_ascii_case("https")
            || port.app_protocol.is_none() && named_after(&port.name, &["https"]),
        protocol: protocol(port),
        at: &port.number.at,
        target,
    }
}

/// Istio's protocol selection: `appProtocol`, else the port's name.
fn speaks_http(port: &KubePort) -> bool {
    match &port.app_protocol {
        Some(protocol) => HTTP.iter().chain(&APP_PROTOCOLS).any(|known| known.eq_ignore_ascii_case(protocol)),
        None => named_after(&port.name, &HTTP) || !named_after(&port.name, &NOT_HTTP),
    }
}

/// Without a word Istio takes the version of the client's connection.
fn protocol(port: &KubePort) -> Protocol {
    let is_http2 = match &port.app_protocol {
        Some(protocol) => HTTP2.iter().chain(&[H2C]).any(|known| known.eq_ignore_ascii_case(protocol)),
        None => named_after(&port.name, &HTTP2),
    };
    let says_nothing =
        port.app_protocol.is_none() && !named_after(&port.name, &HTTP) && !named_after(&port.name, &NOT_HTTP);
    match (is_http2, says_nothing) {
        (true, _) => Protocol::Http2,
        (false, true) => Protocol::Same,
        (false, false) => Protocol::Http1,
    }
}
