//! Services of Kubernetes: their endpoints are those of their EndpointSlices, or, where no slice was given, the pods that
//! the selector names.

use std::{net::IpAddr, sync::Arc};

use foldhash::HashMap;

use super::{
    Address, Endpoint, HTTP, HTTP2, Kept, Kind, Port, Ports, Service, SharedLabels, Target, address_of, meta,
    named_after,
};
use crate::{
    config::{
        Labels,
        kubernetes::{self, EndpointSlice, KubePort, Pod, PodPhase, SliceEndpoint, TargetPort, Transport},
    },
    route::{
        Answers, Here, Protocol, hosts,
        nearness::Nearness,
        objects::{Objects, address},
    },
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

static NO_LABELS: Labels = Labels::NONE;

impl<'a> Workloads<'a> {
    pub(super) fn new(objects: &Objects<'a>) -> Self {
        let mut workloads = Self {
            by_namespace: HashMap::default(),
            by_name: HashMap::default(),
            by_address: HashMap::default(),
        };
        let over = |pod: &&Pod| matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed);
        for pod in objects.pods.iter().copied().filter(|pod| !over(pod)) {
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
    pub(super) fn selected(&self, namespace: &str, selector: &Labels) -> impl Iterator<Item = &'a Pod> {
        let has_all = |pod: &&&Pod| pod.meta.labels.have_all(selector);
        self.by_namespace.get(namespace).into_iter().flatten().filter(has_all).copied()
    }

    fn of_slices(
        &self,
        service: &kubernetes::Service,
        slices: &[&EndpointSlice],
        here: &Here,
        shared: &mut SharedLabels,
    ) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for slice in slices {
            let ports = Ports::Slice(slice.ports.as_slice().into());
            for (endpoint, address) in
                slice.endpoints.iter().flat_map(|e| e.addresses.iter().map(move |address| (e, address)))
            {
                endpoints.push(Endpoint {
                    address: Address::Ip(address.to_canonical()),
                    weight: 1,
                    labels: shared.share(self.labels(endpoint, *address)),
                    ready: endpoint.ready || service.publish_not_ready_addresses,
                    nearness: Nearness::of_slice(here, endpoint),
                    ports: ports.clone(),
                });
            }
        }
        endpoints
    }

    /// A slice knows no labels; its pod does.
    fn labels(&self, endpoint: &SliceEndpoint, address: IpAddr) -> &'a Labels {
        let named = endpoint.pod.as_ref();
        let named = named.and_then(|pod| self.by_name.get(&(pod.namespace.as_str(), pod.name.as_str())));
        let pod = named.or_else(|| self.by_address.get(&address.to_canonical()));
        pod.map_or(&NO_LABELS, |pod| &pod.meta.labels)
    }

    fn of_pods(&self, service: &kubernetes::Service, shared: &mut SharedLabels) -> Vec<Endpoint> {
        // Without a selector somebody else writes the endpoints.
        if service.selector.is_empty() {
            return Vec::new();
        }
        let mut endpoints = Vec::new();
        for pod in self.selected(&service.meta.namespace, &service.selector) {
            let ready = pod.ready && !pod.terminating || service.publish_not_ready_addresses;
            let ports = Ports::Pod(Arc::new(pod.ports.clone()));
            endpoints.extend(pod.ips.iter().map(|address| Endpoint {
                address: Address::Ip(address.to_canonical()),
                weight: 1,
                labels: shared.share(&pod.meta.labels),
                ready,
                nearness: Nearness::default(),
                ports: ports.clone(),
            }));
        }
        endpoints
    }
}

/// `same`: no workload has changed.
pub(super) fn services<'w, 'a: 'w>(
    objects: &Objects<'a>,
    same: bool,
    workloads: &impl Fn() -> &'w Workloads<'a>,
    kept: &mut Kept<'_>,
) -> Vec<Arc<Service>> {
    let mut slices = HashMap::<(&str, &str), Vec<&'a EndpointSlice>>::default();
    for &slice in &objects.endpoint_slices {
        if let Some(service) = &slice.service {
            slices.entry((&slice.meta.namespace, service)).or_default().push(slice);
        }
    }
    let mut services = Vec::with_capacity(objects.services.len());
    for &service in &objects.services {
        let key = (service.meta.namespace.as_str(), service.meta.name.as_str());
        let slices = slices.get(&key);
        let inputs = slices.into_iter().flatten().map(|slice| address(*slice)).collect();
        let declared = kept.declared(address(service), same, inputs, |shared, _| {
            let endpoints = match slices {
                Some(slices) => workloads().of_slices(service, slices, &objects.here, shared),
                None => match &service.external_name {
                    Some(name) => vec![Endpoint::alone(address_of(name, Answers::All), shared)],
                    None => workloads().of_pods(service, shared),
                },
            };
            vec![self::service(service, endpoints, &objects.opened)]
        });
        services.extend(declared.services.iter().cloned());
    }
    services
}

fn service(written: &kubernetes::Service, endpoints: Vec<Endpoint>, opened: &Arc<[u16]>) -> Service {
    let ports = written.ports.iter().filter(|port| port.transport == Transport::Tcp);
    Service {
        host: hosts::resolve(&written.meta.name, &written.meta.namespace).into(),
        kind: Kind::Kubernetes,
        meta: meta(&written.meta),
        ports: ports.map(|port| self::port(port, written, opened)).collect(),
        endpoints: endpoints.into(),
        addresses: written.cluster_ips.iter().map(IpAddr::to_canonical).collect(),
        headless: written.headless,
        alias: written.external_name.as_ref().map(|name| name.value.clone()),
        external: written.external_name.is_some(),
        subject_alt_names: Vec::new(),
        export_to: written.export_to.clone(),
        distribution: written.traffic_distribution,
    }
}

fn port(port: &KubePort, service: &kubernetes::Service, opened: &Arc<[u16]>) -> Port {
    let target = match &port.target {
        // A name is all that an ExternalName changes: who dials it dials the service's port.
        _ if service.external_name.is_some() => Target::Number(port.number.value),
        TargetPort::Number(number) => Target::Number(*number),
        TargetPort::Name(name) => Target::Name(name.as_str().into()),
    };
    Port {
        number: port.number.value,
        name: port.name.as_str().into(),
        speaks_http: speaks_http(port),
        is_https: port.app_protocol.as_deref().unwrap_or(&port.name).eq_ignore_ascii_case("https")
            || port.app_protocol.is_none() && named_after(&port.name, &["https"]),
        opened: Arc::clone(opened),
        protocol: protocol(port),
        at: port.number.at.clone(),
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
