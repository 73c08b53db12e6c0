//! Rows without a target: they stand beside the others and say what else it costs.

use super::{Finding::*, Goal::Beside, Row};
use crate::{
    case::{Case, DIRECT, Setting::*, Way::*},
    load::Load,
    round::Figure,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        id: "share",
        title: "mirror 1 % and 10 % against none: CPU per request",
        load: Load::Tenth,
        figure: Figure::ProxyCpu,
        findings: &[
            (Ratio(Case(Umbra, Share(1)), Case(Umbra, Plain)), Beside),
            (Ratio(Case(Umbra, Share(10)), Case(Umbra, Plain)), Beside),
            (Ratio(Case(Umbra, Mirror), Case(Umbra, Plain)), Beside),
        ],
    },
    Row {
        id: "slow",
        title: "a shadow that takes 0.1 s against a quick one: p99 of the primary",
        load: Load::Tenth,
        figure: Figure::P99,
        findings: &[
            (Ratio(Case(Umbra, Slow), Case(Umbra, Mirror)), Beside),
            (Ratio(Case(Nginx, Slow), Case(Nginx, Mirror)), Beside),
            (Ratio(Case(Envoy, Slow), Case(Envoy, Mirror)), Beside),
        ],
    },
    Row {
        id: "one",
        title: "a single connection, small GET at full speed: p50",
        load: Load::Single,
        figure: Figure::P50,
        findings: &[
            (Ratio(Case(Umbra, Plain), DIRECT), Beside),
            (Ratio(Case(Umbra, Mirror), DIRECT), Beside),
            (Ratio(Case(Nginx, Plain), DIRECT), Beside),
            (Ratio(Case(Envoy, Plain), DIRECT), Beside),
        ],
    },
    Row {
        id: "many",
        title: "256 connections, small GET at full speed: requests per second",
        load: Load::Many,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), Case(Envoy, Plain)), Beside),
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Mirror)), Beside),
            (Ratio(Case(Umbra, Mirror), Case(Envoy, Mirror)), Beside),
        ],
    },
    Row {
        id: "kilobytes-down",
        title: "64 KiB answers, mirror 100 %, against nginx without mirror: throughput",
        load: Load::Answers64K,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Envoy, Mirror), Case(Nginx, Plain)), Beside),
        ],
    },
    Row {
        id: "kilobytes-up",
        title: "64 KiB uploads, mirror 100 %, against nginx without mirror: throughput",
        load: Load::Uploads64K,
        figure: Figure::Throughput,
        findings: &[
            (Ratio(Case(Umbra, Mirror), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), Case(Nginx, Plain)), Beside),
            (Ratio(Case(Envoy, Mirror), Case(Nginx, Plain)), Beside),
        ],
    },
    Row {
        id: "redirect-cpu",
        title: "captured by eBPF against REDIRECT, kept connections at a tenth: CPU per request",
        load: Load::Tenth,
        figure: Figure::ProxyCpu,
        findings: &[(Ratio(Case(Umbra, Plain), Case(Redirected, Plain)), Beside)],
    },
    Row {
        id: "redirect-machine",
        title: "the same: CPU of the whole machine per request",
        load: Load::Tenth,
        figure: Figure::MachineCpu,
        findings: &[
            (Value(Case(Umbra, Plain)), Beside),
            (Value(Case(Redirected, Plain)), Beside),
            (Value(DIRECT), Beside),
        ],
    },
    Row {
        id: "redirect-p50",
        title: "the same: p50",
        load: Load::Tenth,
        figure: Figure::P50,
        findings: &[
            (Ratio(Case(Umbra, Plain), Case(Redirected, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), DIRECT), Beside),
            (Ratio(Case(Redirected, Plain), DIRECT), Beside),
        ],
    },
    Row {
        id: "redirect-p99",
        title: "the same: p99",
        load: Load::Tenth,
        figure: Figure::P99,
        findings: &[
            (Ratio(Case(Umbra, Plain), Case(Redirected, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), DIRECT), Beside),
            (Ratio(Case(Redirected, Plain), DIRECT), Beside),
        ],
    },
    Row {
        id: "connections-resident",
        title: "resident memory of the proxy with all connections",
        load: Load::Crowd,
        figure: Figure::MemoryConnected,
        findings: &[(Value(Case(Umbra, Plain)), Beside), (Value(Case(Redirected, Plain)), Beside)],
    },
    Row {
        id: "connections-sockets",
        title: "the kernel's memory for each connection, client and app included",
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
        id: "connections-p99",
        title: "the same: p99 from the connect on",
        load: Load::Opened,
        figure: Figure::P99,
        findings: &[
            (Ratio(Case(Umbra, Plain), Case(Redirected, Plain)), Beside),
            (Ratio(Case(Umbra, Plain), DIRECT), Beside),
            (Ratio(Case(Redirected, Plain), DIRECT), Beside),
        ],
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
    Row {
        id: "syscalls-http2",
        title: "system calls per request over HTTP/2",
        load: Load::Http2Counted,
        figure: Figure::Syscalls,
        findings: &[
            (Value(Case(Umbra, Plain)), Beside),
            (Value(Case(Umbra, Mirror)), Beside),
            (Value(Case(Envoy, Plain)), Beside),
            (Value(Case(Envoy, Mirror)), Beside),
        ],
    },
];
