//! How the namespaces and the cluster stand, as the admin window shows it.

use super::{
    direct::Listening,
    enrolled::{Enrolled, Standing, verdicts},
};
use crate::{
    admin::{self, Namespace, Port},
    capture,
    route::CapturedPort,
    source::kube,
};

const LISTENING: &str = "listening";

/// Asks the kernel of each enrolled namespace; not for a thread that others wait for.
pub(super) fn namespaces(enrolled: &Enrolled) -> Vec<Namespace> {
    let namespaces = enrolled.standings();
    namespaces.iter().map(namespace).chain(enrolled.listening().iter().map(listening)).collect()
}

/// A plain listener stands beside the namespaces.
fn listening(Listening { direct, connections }: &Listening) -> Namespace {
    Namespace {
        netns: direct.name().to_owned(),
        state: LISTENING,
        why: Some(format!("in front of {}", direct.upstream())),
        connections: connections.len(),
        client_address: Some("local"),
        ..Namespace::default()
    }
}

fn namespace(standing: &Standing) -> Namespace {
    let Standing { netns, pod, state, why, enrolment } = standing.clone();
    let pod = pod.map(|pod| pod.to_string());
    let mut namespace = Namespace { netns, pod, state, why, ..Namespace::default() };
    let Some((enrolment, connections)) = enrolment else { return namespace };
    let (port_count, ports) = enrolment.ports();
    namespace.age = Some(enrolment.age());
    namespace.notes = enrolment.notes();
    namespace.client_address = Some(enrolment.client_address());
    namespace.verdicts = verdicts(&enrolment).into_iter().filter(|(_, count)| *count > 0).collect();
    namespace.connections = connections.len();
    namespace.port_count = port_count;
    namespace.ports = ports.into_iter().map(port).collect();
    namespace
}

fn port(port: capture::Port) -> Port {
    let capture::Port { at: (address, number), share, way, reason } = port;
    let at = CapturedPort { address, port: number }.to_string();
    Port { at, percentage: f64::from(share.0) / 10_000.0, way, reason }
}

pub(super) fn cluster(cluster: &kube::Cluster) -> admin::Cluster {
    let kube::ClusterStanding { kinds, faults, fault_count, overruled, writer } = cluster.standing();
    let kinds = kinds.into_iter().map(|kind| admin::Kind {
        kind: kind.kind,
        version: kind.version,
        state: kind.state.as_str(),
        since: kind.since,
        age: kind.age,
        objects: kind.objects,
        faulty: kind.faulty,
        why: kind.why,
    });
    let faults = faults.into_iter().map(|fault| admin::Faulty {
        object: fault.object,
        message: fault.message,
        effect: fault.effect,
        age: fault.since.elapsed(),
    });
    admin::Cluster {
        server: cluster.server().to_owned(),
        kinds: kinds.collect(),
        fault_count,
        faults: faults.collect(),
        overruled,
        status: writer.map(|writer| admin::Writer {
            writer: writer.writer,
            here: writer.here,
            written: writer.written,
            last: writer.last,
            why: writer.why,
        }),
    }
}
