//! Metrics whose values the parts keep themselves: the kernel's verdicts and the load of the shadow plane.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    enrolled::{Enrolled, STATES},
    pressure::Pressure,
};
use crate::{
    admin::Configuration,
    observe::{Kind, Reading, Sample},
    relay::tls::Certificates,
    route::Mirror,
    shadow::{Load, Plane},
    source::kube::{Cluster, KindStanding, State, WriterStanding},
};

pub(super) fn all(enrolled: &Enrolled, plane: &Arc<Plane>, certificates: &Arc<Certificates>) -> Vec<Reading> {
    let (enrolled, standing) = (enrolled.clone(), enrolled.clone());
    let mut readings = vec![
        Reading {
            name: "umbra_capture_verdicts",
            help: "What the kernel program said of new connections, summed over CPUs and namespaces",
            kind: Kind::Counter,
            read: Box::new(move || {
                let label = |(verdict, count): (&str, u64)| (vec![("verdict", verdict.to_owned())], count);
                enrolled.verdicts().into_iter().map(label).collect()
            }),
        },
        Reading {
            name: "umbra_capture_namespaces",
            help: "Network namespaces by how they stand: enrolled; failing and tried again; the same as another; leaving; skipped pods",
            kind: Kind::Gauge,
            read: Box::new(move || namespaces(&standing)),
        },
        load("umbra_shadow_queue_requests", "Copies waiting for a shadow worker", plane, |load| load.waiting),
        load("umbra_shadow_queue_bytes", "Bytes of heads and bodies held for shadows", plane, |load| {
            load.bytes
        }),
        Reading {
            name: "istio_request_mirror_percentage",
            help: "The share of the rule's requests that is mirrored at this moment, in percent",
            kind: Kind::PerMillion,
            read: {
                let plane = Arc::clone(plane);
                Box::new(move || plane.mirrors().iter().map(|mirror| share(&plane, mirror)).collect())
            },
        },
    ];
    readings.extend(of_tls(certificates));
    readings
}

/// Whether new connections are left to the apps for want of something.
pub(super) fn shed(pressure: &Arc<Pressure>) -> Reading {
    let pressure = Arc::clone(pressure);
    Reading {
        name: "umbra_capture_shed",
        help: "1 while new connections are left to the apps because this runs out",
        kind: Kind::Gauge,
        read: Box::new(move || {
            let label = |reason: &'static str| vec![("reason", reason.to_owned())];
            pressure.shown().map(|(reason, shed)| (label(reason.as_str()), u64::from(shed))).collect()
        }),
    }
}

/// Whether the configuration in force is the one that is written.
pub(super) fn reloads(configuration: &Arc<Configuration>) -> [Reading; 3] {
    let read = |value: fn(&Configuration) -> u64| {
        let configuration = Arc::clone(configuration);
        Box::new(move || vec![(Vec::new(), value(&configuration))])
    };
    let reloads = Arc::clone(configuration);
    [
        Reading {
            name: "umbra_config_reloads",
            help: "Changed configurations since the start, and whether they were put in force",
            kind: Kind::Counter,
            read: Box::new(move || {
                let label = |(outcome, count): (&str, u64)| (vec![("outcome", outcome.to_owned())], count);
                reloads.reloads().into_iter().map(label).collect()
            }),
        },
        Reading {
            name: "umbra_config_last_reload_successful",
            help: "1 while the configuration in force is the one that is written, 0 while a change is refused",
            kind: Kind::Gauge,
            read: read(|configuration| u64::from(!configuration.is_refused())),
        },
        Reading {
            name: "umbra_config_last_reload_success_timestamp_seconds",
            help: "When the configuration in force was put in force, in seconds since 1970",
            kind: Kind::Gauge,
            read: read(Configuration::applied_at),
        },
    ]
}

/// Whether the cluster is followed, by kind.
pub(super) fn cluster(cluster: &Arc<Cluster>) -> [Reading; 4] {
    let reading = |name, help, value: fn(&KindStanding) -> u64| {
        let cluster = Arc::clone(cluster);
        let sample = move |kind: KindStanding| (vec![("kind", kind.kind.to_owned())], value(&kind));
        let read = Box::new(move || cluster.standing().kinds.into_iter().map(sample).collect());
        Reading { name, help, kind: Kind::Gauge, read }
    };
    [
        reading(
            "umbra_cluster_followed",
            "1 while every change of the kind is heard of, 0 while the API server is away, has no such kind or forbids it",
            |kind| u64::from(kind.state == State::Following),
        ),
        reading(
            "umbra_cluster_age_seconds",
            "How old what is known of the kind is: 0 while changes are heard of, then the time since the last word",
            |kind| kind.age.as_secs(),
        ),
        reading("umbra_cluster_objects", "Objects of the kind that are known", |kind| kind.objects as u64),
        reading(
            "umbra_cluster_faulty_objects",
            "Objects of the kind whose newest version has errors and is not in force",
            |kind| kind.faulty as u64,
        ),
    ]
}

/// Which agent of all writes what became of the cluster's objects. Nothing where this one was not asked to.
pub(super) fn writer(cluster: &Arc<Cluster>) -> Reading {
    let cluster = Arc::clone(cluster);
    let sample = |writer: WriterStanding| (Vec::new(), u64::from(writer.here));
    Reading {
        name: "umbra_status_writer",
        help: "1 while this agent writes what became of the cluster's objects into their status, 0 while another one does or none",
        kind: Kind::Gauge,
        read: Box::new(move || cluster.writer().map(sample).into_iter().collect()),
    }
}

/// When the kernel was last told to hand connections over: a heart that has stopped is seen here.
pub(super) fn heartbeat(last: &Arc<AtomicU64>) -> Reading {
    let last = Arc::clone(last);
    Reading {
        name: "umbra_heartbeat_timestamp_seconds",
        help: "When the kernel was last told to hand over new connections, ten times a second as a rule, in seconds since 1970",
        kind: Kind::Gauge,
        read: Box::new(move || vec![(Vec::new(), last.load(Relaxed))]),
    }
}

fn of_tls(certificates: &Arc<Certificates>) -> [Reading; 3] {
    let (usable, handshakes, reloads) =
        (Arc::clone(certificates), Arc::clone(certificates), Arc::clone(certificates));
    let port = |port: u16| ("port", port.to_string());
    let ends = ["completed", "failed"];
    [
        Reading {
            name: "umbra_tls_certificates_usable",
            help: "Certificates of AgentConfig that can be used, by port",
            kind: Kind::Gauge,
            read: Box::new(move || {
                usable.standing().map(|(number, usable, _)| (vec![port(number)], usable as u64)).collect()
            }),
        },
        Reading {
            name: "umbra_tls_handshakes",
            help: "Handshakes with clients in an app's stead; failed: the client did not go on",
            kind: Kind::Counter,
            read: Box::new(move || {
                let of_port = |(number, _, counts): (u16, usize, [u64; 2])| {
                    let sample = move |(end, count): (&str, u64)| {
                        (vec![port(number), ("outcome", end.to_owned())], count)
                    };
                    ends.into_iter().zip(counts).map(sample).collect::<Vec<_>>()
                };
                handshakes.standing().flat_map(of_port).collect()
            }),
        },
        Reading {
            name: "umbra_tls_reloads",
            help: "How often files of certificates had changed, and whether they could be used",
            kind: Kind::Counter,
            read: Box::new(move || {
                let outcomes = ["accepted", "refused"].into_iter().zip(reloads.reloads());
                outcomes.map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], count)).collect()
            }),
        },
    ]
}

fn share(plane: &Plane, mirror: &Mirror) -> Sample {
    let key = &mirror.account.key;
    let labels = vec![
        ("virtual_service", key.rule.virtual_service.to_string()),
        ("rule", key.rule.rule.clone()),
        ("mirror", key.mirror.to_string()),
    ];
    (labels, plane.share_in_force(mirror).0.into())
}

fn load(name: &'static str, help: &'static str, plane: &Arc<Plane>, value: fn(Load) -> usize) -> Reading {
    let plane = Arc::clone(plane);
    Reading {
        name,
        help,
        kind: Kind::Gauge,
        read: Box::new(move || vec![(Vec::new(), value(plane.load()) as u64)]),
    }
}

fn namespaces(enrolled: &Enrolled) -> Vec<Sample> {
    let standings = enrolled.standings();
    let count = |state: &str| standings.iter().filter(|standing| standing.state == state).count() as u64;
    STATES.map(|state| (vec![("state", state.to_owned())], count(state))).to_vec()
}
