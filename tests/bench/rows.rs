//! The rows of the table: what is compared, under which load, and what is wanted. To measure one more thing is to add
//! an entry here.

use crate::{
    case::{Case, DIRECT, Setting::*, Way::*},
    load::Load,
    round::Figure,
};

pub(crate) struct Row {
    /// What `--only` names, with every row that begins so.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) load: Load,
    pub(crate) figure: Figure,
    pub(crate) findings: &'static [(Finding, Goal)],
}

/// One number of a row.
#[derive(Clone, Copy)]
pub(crate) enum Finding {
    /// The first case's figure by the second's, in the same round.
    Ratio(Case, Case),
    /// The first's less the second's.
    Difference(Case, Case),
    /// As measured.
    Value(Case),
}

/// What is wanted of it.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing: it stands beside the others.
    Beside,
}

use Finding::{Difference, Ratio, Value};
use Goal::{AtLeast, AtMost, Beside};

const MIB: f64 = 1048576.0;
const KIB: f64 = 1024.0;

pub(crate) const ROWS: &[Row] = &[
    Row {
        id: "idle-memory",
        title: "resident memory of the proxy before the first request",
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
        load: Load::Uploads,
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
        id: "connections-resident",
        title: "resident memory of the proxy with all of them",
        load: Load::Crowd,
        figure: Figure::MemoryConnected,
        findings: &[(Value(Case(Umbra, Plain)), Beside), (Value(Case(Redirected, Plain)), Beside)],
    },
    Row {
        id: "connections-sockets",
        title: "the kernel's memory for each of them, client and app included",
        load: Load::Crowd,
        figure: Figure::SocketsPerConnection,
        findings: &[
            (Value(Case(Umbra, Plain)), Beside),
            (Value(Case(Redirected, Plain)), Beside),
            (Value(DIRECT), Beside),
        ],
    },
    Row {
        id: "connections-limit",
        title: "new connections per second, one request on each, as fast as it goes",
        load: Load::Fresh,
        figure: Figure::Throughput,
        findings: &[
            (Value(Case(Umbra, Plain)), Beside),
            (Value(Case(Redirected, Plain)), Beside),
            (Value(DIRECT), Beside),
            (Ratio(Case(Umbra, Plain), Case(Redirected, Plain)), Beside),
        ],
    },
    Row {
        id: "connections-cpu",
        title: "new connections in an open loop: CPU of the proxy for each",
        load: Load::Opened,
        figure: Figure::ProxyCpu,
        findings: &[
            (Value(Case(Umbra, Plain)), Beside),
            (Value(Case(Redirected, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), Case(Redirected, Plain)), Beside),
        ],
    },
    Row {
        id: "connections-machine",
        title: "the same: CPU of the whole machine for each",
        load: Load::Opened,
        figure: Figure::MachineCpu,
        findings: &[
            (Value(Case(Umbra, Plain)), Beside),
            (Value(Case(Redirected, Plain)), Beside),
            (Value(DIRECT), Beside),
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
        id: "bodies-down",
        title: "10 MiB answers, mirror 100 %, against nginx without mirror: throughput",
        load: Load::Downloads,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Plain)), AtLeast(1.0)),
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Envoy, Mirror), Case(Nginx, Plain)), Beside),
        ],
    },
    Row {
        id: "bodies-up",
        title: "100 MiB uploads, mirror 100 %, against nginx without mirror: throughput",
        load: Load::Uploads,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Plain)), AtLeast(1.0)),
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Envoy, Mirror), Case(Nginx, Plain)), Beside),
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
        id: "syscalls",
        title: "system calls per request, all threads of the proxy",
        load: Load::Counted,
        figure: Figure::Syscalls,
        findings: &[
            (Value(Case(Umbra, Plain)), Beside),
            (Value(Case(Umbra, Mirror)), Beside),
            (Value(Case(Nginx, Plain)), Beside),
            (Value(Case(Nginx, Mirror)), Beside),
            (Value(Case(Envoy, Plain)), Beside),
            (Value(Case(Envoy, Mirror)), Beside),
        ],
    },
];

impl Row {
    /// What has to be measured for it; with another build of umbra beside, that too.
    pub(crate) fn cases(&self, also: bool) -> Vec<Case> {
        self.findings(also).into_iter().flat_map(|(finding, _)| finding.cases()).collect()
    }

    /// With another build of umbra: also what that finds, and how both compare.
    pub(crate) fn findings(&self, also: bool) -> Vec<(Finding, Goal)> {
        let mut findings = Vec::new();
        for &(finding, goal) in self.findings {
            findings.push((finding, goal));
            let other = Case::of_other_build;
            if also && let Some(of) = other(finding.of()) {
                let repeated = match finding {
                    Ratio(_, to) => Ratio(of, other(to).unwrap_or(to)),
                    Difference(_, to) => Difference(of, other(to).unwrap_or(to)),
                    Value(_) => Value(of),
                };
                findings.extend([(repeated, goal), (Ratio(of, finding.of()), Beside)]);
            }
        }
        findings
    }
}

impl Finding {
    /// The case it is about.
    pub(crate) fn of(self) -> Case {
        match self {
            Ratio(of, _) | Difference(of, _) | Value(of) => of,
        }
    }

    fn cases(self) -> Vec<Case> {
        match self {
            Ratio(of, to) | Difference(of, to) => vec![of, to],
            Value(of) => vec![of],
        }
    }
}

impl Goal {
    /// None when nothing is wanted.
    pub(crate) fn is_met_by(self, value: f64) -> Option<bool> {
        match self {
            AtMost(most) => Some(value <= most),
            AtLeast(least) => Some(value >= least),
            Beside => None,
        }
    }
}
