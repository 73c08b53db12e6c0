//! One request as a line of JSON, the same wherever single requests are shown: in the audit log, in the live view (an event
//! of `GET /api/v1/tap`) and among the last ones (an item of `GET /api/v1/exchanges`).

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::record::{Exchange, GrpcStatus, ShadowOutcome, Text, Workload};

pub(super) const VERDICTS: [&str; 5] = ["completed", "failed", "dropped", "sampled_out", "none"];

/// A primary request, with one of its copies or, of one that was not copied, none. A request of which several copies were
/// made is several lines.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line<'r> {
    /// When the request's head was whole: RFC 3339, in UTC.
    time: String,
    client: SocketAddr,
    /// The client's workload, where it is known.
    source: Option<Party<'r>>,
    /// The address the client dialled.
    destination: SocketAddr,
    /// The host of the service that the request was for, in full.
    service: Option<&'r str>,
    /// The workload at `destination`.
    workload: Option<Party<'r>>,
    /// `namespace/name`; null where no rule matched.
    virtual_service: Option<&'r str>,
    rule: Option<&'r str>,
    /// `http` or `grpc`
    protocol: &'static str,
    /// `HTTP/1.1`, `HTTP/2.0`
    version: String,
    /// The client's TLS ended at the agent.
    encrypted: bool,
    /// Null where nobody looked when the request came.
    method: Option<&'r str>,
    /// With its query, cut off after 2 KiB; what ShadowPolicies redact is taken out.
    path: Option<&'r str>,
    host: Option<&'r str>,
    /// The id of its trace, 32 hexadecimal digits.
    trace: Option<String>,
    primary: Primary,
    /// What became of the copy: `completed`, `failed` or `dropped`; without one `sampled_out`, or `none` where nothing is
    /// mirrored.
    verdict: &'static str,
    shadow: Option<Shadow<'r>>,
}

/// Who sends or serves.
#[derive(Clone, Copy, Debug, Serialize)]
struct Party<'r> {
    name: Option<&'r str>,
    namespace: &'r str,
    app: Option<&'r str>,
    version: Option<&'r str>,
}

/// Times are in microseconds from the line's time on.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Primary {
    /// 0 when there was no response.
    status: u16,
    grpc_status: Option<u8>,
    /// `complete`, or who ended it before: `client`, `app`, `agent`; `unread` when it is not known how it went on.
    ended: &'static str,
    request_bytes: u64,
    response_bytes: u64,
    /// To the head of the response.
    answered_micros: Option<u64>,
    duration_micros: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shadow<'r> {
    /// `host:port` or `host:port/subset`
    mirror: &'r str,
    /// `completed`, `failed` or `dropped`
    outcome: &'static str,
    /// As in the manual's table (config/manual/copies.md); empty when completed.
    reason: &'static str,
    /// In words, of a failure where more is known.
    why: Option<&'r str>,
    service: Option<&'r str>,
    workload: Option<Party<'r>>,
    endpoint: Option<SocketAddr>,
    version: Option<String>,
    /// 0 when there was no response.
    status: u16,
    grpc_status: Option<u8>,
    request_bytes: u64,
    response_bytes: u64,
    /// To where a connection took the copy; null when none did.
    sent_micros: Option<u64>,
    answered_micros: Option<u64>,
    duration_micros: u64,
}

impl<'r> Line<'r> {
    pub fn new(primary: &'r Exchange, copy: Option<&'r ShadowOutcome>) -> Self {
        let text = primary.text.as_deref();
        let key = primary.rule.as_ref().map(|rule| &*rule.key);
        Self {
            time: moment(primary.started),
            client: primary.client,
            source: primary.source.as_deref().map(Party::of),
            destination: primary.destination,
            service: primary.served.as_ref().map(|served| &*served.service),
            workload: primary.served.as_ref().map(|served| Party::of(&served.workload)),
            virtual_service: key.map(|key| &*key.virtual_service),
            rule: key.map(|key| key.rule.as_str()),
            protocol: if primary.is_grpc { "grpc" } else { "http" },
            version: format!("{:?}", primary.version),
            encrypted: primary.encrypted,
            method: text.map(Text::method),
            path: text.map(Text::path),
            host: text.map(Text::host),
            trace: primary.trace.map(|trace| trace.to_string()),
            primary: Primary {
                status: primary.status,
                grpc_status: primary.grpc_status.map(GrpcStatus::code),
                ended: primary.ending.as_str(),
                request_bytes: primary.request_bytes,
                response_bytes: primary.response_bytes,
                answered_micros: primary.answered.map(micros),
                duration_micros: micros(primary.duration),
            },
            verdict: verdict(primary, copy),
            shadow: copy.map(Shadow::new),
        }
    }
}

impl<'r> Shadow<'r> {
    fn new(copy: &'r ShadowOutcome) -> Self {
        let (outcome, reason) = copy.outcome.words();
        Self {
            mirror: &copy.mirror.key.mirror,
            outcome,
            reason,
            why: copy.why.as_deref(),
            service: copy.served.as_ref().map(|served| &*served.service),
            workload: copy.served.as_ref().map(|served| Party::of(&served.workload)),
            endpoint: copy.endpoint,
            version: copy.version.map(|version| format!("{version:?}")),
            status: copy.status,
            grpc_status: copy.grpc_status.map(GrpcStatus::code),
            request_bytes: copy.request_bytes,
            response_bytes: copy.response_bytes,
            sent_micros: copy.sent.map(micros),
            answered_micros: copy.answered.map(micros),
            duration_micros: micros(copy.duration),
        }
    }
}

impl<'r> Party<'r> {
    fn of(workload: &'r Workload) -> Self {
        Self {
            name: workload.name.as_deref(),
            namespace: &workload.namespace,
            app: workload.app.as_deref(),
            version: workload.version.as_deref(),
        }
    }
}

/// One of [`VERDICTS`].
pub(super) fn verdict(primary: &Exchange, copy: Option<&ShadowOutcome>) -> &'static str {
    match copy {
        Some(copy) => copy.outcome.words().0,
        None if primary.mirrors > 0 => "sampled_out",
        None => "none",
    }
}

/// A moment of the monotonic clock on that of the wall. Empty where no such date can be written.
fn moment(at: Instant) -> String {
    let date = OffsetDateTime::from(SystemTime::now() - at.elapsed());
    let micros = date.nanosecond() / 1000 * 1000;
    let date = date.replace_nanosecond(micros).unwrap_or(date);
    date.format(&Rfc3339).unwrap_or_default()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
