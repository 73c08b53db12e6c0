//! Rows with a target.

use super::{Finding::*, Goal::*, Row};
use crate::{
    case::{Case, DIRECT, Setting::*, Way::*},
    load::Load,
    round::Figure,
};

const MIB: f64 = 1048576.0;
const KIB: f64 = 1024.0;

pub(super) const ROWS: &[Row] = &[
    Row {
        id: "idle-memory",
        title: "resident memory before the first request",
        load: Load::Idle,
        figure: Figure::MemoryAtStart,
        findings: &[
            (Value(Case(Umbra, Plain)), AtMost(16.0 * MIB)),
            (Value(Case(Nginx, Plain)), Beside),
            (Value(Case(Envoy, Plain)), Beside),
        ],
    },
    Row {
        id: "idle-connection",
        title: "resident memory per idle connection",
        load: Load::Idle,
        figure: Figure::MemoryPerConnection,
        findings: &[
            (Value(Case(Umbra, Plain)), AtMost(6.0 * KIB)),
            (Value(Case(Nginx, Plain)), Beside),
            (Value(Case(Envoy, Plain)), Beside),
        ],
    },
    Row {
        id: "cpu-plain",
        title: "small GET at a tenth of direct capacity, not mirrored: CPU per request",
        load: Load::Tenth,
        figure: Figure::ProxyCpu,
        findings: &[
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), AtMost(0.85)),
            (Ratio(Case(Umbra, Plain), Case(Envoy, Plain)), AtMost(0.25)),
        ],
    },
    Row {
        id: "cpu-plain-full",
        title: "small GET at full speed, not mirrored: CPU per request",
        load: Load::Full,
        figure: Figure::ProxyCpu,
        findings: &[
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), AtMost(0.85)),
            (Ratio(Case(Umbra, Plain), Case(Envoy, Plain)), AtMost(0.25)),
        ],
    },
    Row {
        id: "cpu-mirror",
        title: "small GET at a tenth, mirror 100 %: CPU per request",
        load: Load::Tenth,
        figure: Figure::ProxyCpu,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Envoy, Mirror)), AtMost(0.25)),
            (Ratio(Case(Umbra, MirrorEmpty), Case(Nginx, MirrorEmpty)), AtMost(0.80)),
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Mirror)), AtMost(0.40)),
            (Ratio(Case(Umbra, Mirror), Case(Umbra, Plain)), AtMost(1.5)),
        ],
    },
    Row {
        id: "latency-p50",
        title: "small GET at a tenth, mirror 100 %: p50",
        load: Load::Tenth,
        figure: Figure::P50,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Mirror)), AtMost(1.0)),
            (Ratio(Case(Umbra, Mirror), Case(Envoy, Mirror)), AtMost(1.0)),
            (Ratio(Case(Umbra, Mirror), DIRECT), Beside),
        ],
    },
    Row {
        id: "latency-p99",
        title: "small GET at a tenth, mirror 100 %: p99",
        load: Load::Tenth,
        figure: Figure::P99,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Mirror)), AtMost(1.0)),
            (Ratio(Case(Umbra, Mirror), Case(Envoy, Mirror)), AtMost(1.0)),
            (Ratio(Case(Umbra, Mirror), DIRECT), AtMost(2.0)),
        ],
    },
    Row {
        id: "dead-p99",
        title: "the shadow dead against healthy: p99 of the primary",
        load: Load::Tenth,
        figure: Figure::P99,
        findings: &[
            (Ratio(Case(Umbra, BlackHole), Case(Umbra, Mirror)), AtMost(1.05)),
            (Ratio(Case(Umbra, Silent), Case(Umbra, Mirror)), AtMost(1.05)),
            (Ratio(Case(Nginx, BlackHole), Case(Nginx, Mirror)), Beside),
            (Ratio(Case(Nginx, Silent), Case(Nginx, Mirror)), Beside),
            (Ratio(Case(Envoy, BlackHole), Case(Envoy, Mirror)), Beside),
            (Ratio(Case(Envoy, Silent), Case(Envoy, Mirror)), Beside),
        ],
    },
    Row {
        id: "dead-memory",
        title: "the shadow dead against healthy: most memory resident",
        load: Load::Tenth,
        figure: Figure::PeakMemory,
        findings: &[
            (Difference(Case(Umbra, BlackHole), Case(Umbra, Mirror)), AtMost(16.0 * MIB)),
            (Difference(Case(Umbra, Silent), Case(Umbra, Mirror)), AtMost(16.0 * MIB)),
        ],
    },
    Row {
        id: "dead-uploads",
        title: "the shadow dead against healthy: speed of 100 MiB uploads",
        load: Load::Uploads100M,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, BlackHole), Case(Umbra, Mirror)), AtLeast(0.95)),
            (Ratio(Case(Umbra, Silent), Case(Umbra, Mirror)), AtLeast(0.95)),
            (Ratio(Case(Nginx, BlackHole), Case(Nginx, Mirror)), Beside),
            (Ratio(Case(Nginx, Silent), Case(Nginx, Mirror)), Beside),
            (Ratio(Case(Envoy, BlackHole), Case(Envoy, Mirror)), Beside),
            (Ratio(Case(Envoy, Silent), Case(Envoy, Mirror)), Beside),
        ],
    },
    Row {
        id: "saturated",
        title: "all CPUs busy with other work, mirror 100 % against none: p99",
        load: Load::Saturated,
        figure: Figure::P99,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Umbra, Plain)), AtMost(1.25)),
            (Ratio(Case(Nginx, Mirror), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Envoy, Mirror), Case(Envoy, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), DIRECT), Beside),
        ],
    },
    Row {
        id: "sampling",
        title: "the kernel samples connections: requests per second on kept connections",
        load: Load::Full,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Sampled(10_000)), DIRECT), AtLeast(0.97)),
            (Ratio(Case(Umbra, Plain), DIRECT), Beside),
        ],
    },
    Row {
        id: "sampling-fresh",
        title: "the same, a connection per request",
        load: Load::Fresh,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Sampled(10_000)), DIRECT), AtLeast(0.97)),
            (Ratio(Case(Umbra, Sampled(3_906)), DIRECT), Beside),
        ],
    },
    Row {
        id: "fresh",
        title: "a connection per request: requests per second",
        load: Load::Fresh,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), AtLeast(0.9)),
            (Ratio(Case(Umbra, Plain), Case(Envoy, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), DIRECT), Beside),
        ],
    },
    Row {
        id: "connections-held",
        title: "idle connections at the same time; fewer than wanted where a process may not have the files",
        load: Load::Crowd,
        figure: Figure::Held,
        findings: &[
            (Value(Case(Umbra, Plain)), AtLeast(20_000.0)),
            (Value(Case(Redirected, Plain)), Beside),
            (Value(DIRECT), Beside),
        ],
    },
    Row {
        id: "connections-memory",
        title: "resident memory of the proxy for each of them",
        load: Load::Crowd,
        figure: Figure::MemoryPerConnection,
        findings: &[(Value(Case(Umbra, Plain)), AtMost(6.0 * KIB)), (Value(Case(Redirected, Plain)), Beside)],
    },
    Row {
        id: "bodies-down",
        title: "10 MiB answers, mirror 100 %, against nginx without mirror: throughput",
        load: Load::Answers10M,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Plain)), AtLeast(1.0)),
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Envoy, Mirror), Case(Nginx, Plain)), Beside),
        ],
    },
    Row {
        id: "bodies-up",
        title: "10 MiB uploads, mirror 100 %, against nginx without mirror: throughput",
        load: Load::Uploads10M,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Plain)), AtLeast(1.0)),
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Envoy, Mirror), Case(Nginx, Plain)), Beside),
        ],
    },
    Row {
        id: "http2",
        title: "small GET over HTTP/2 at a tenth, mirror 100 %: CPU per request",
        load: Load::Http2,
        figure: Figure::ProxyCpu,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Envoy, Mirror)), AtMost(0.30)),
            (Ratio(Case(Umbra, Plain), Case(Envoy, Plain)), Beside),
        ],
    },
    Row {
        id: "grpc",
        title: "unary gRPC at the same rate, mirror 100 %: CPU per call",
        load: Load::Grpc,
        figure: Figure::ProxyCpu,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Envoy, Mirror)), AtMost(0.30)),
            (Ratio(Case(Umbra, Plain), Case(Envoy, Plain)), Beside),
        ],
    },
    Row {
        id: "rules",
        title: "10,000 rules against 10: CPU per request",
        load: Load::Tenth,
        figure: Figure::ProxyCpu,
        findings: &[(Ratio(Case(Umbra, Rules(10_000)), Case(Umbra, Rules(10))), AtMost(1.05))],
    },
    Row {
        id: "observed",
        title: "audit log, a tap and the dashboard against metrics only, mirror 100 %: CPU per request",
        load: Load::Tenth,
        figure: Figure::ProxyCpu,
        findings: &[(Ratio(Case(Umbra, Watched), Case(Umbra, Mirror)), AtMost(1.15))],
    },
];
