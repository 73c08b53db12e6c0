//! `umbra.dev/v1alpha1` ShadowPolicy as written: what Istio's API cannot say of a mirror. Every key is optional; an
//! absent one leaves AgentConfig's `spec.shadow`, or the plain behaviour, in force.

use std::time::Duration;

use super::{
    Located, Location, Meta,
    istio::{HeaderOperations, Percent},
};

#[derive(Clone, Debug)]
pub struct ShadowPolicy {
    pub meta: Meta,
    /// One at least.
    pub targets: Vec<TargetRef>,
    pub marker: Option<Marker>,
    /// Goes between name and port of the copy's Host; `""` for none.
    pub host_suffix: Option<Located<String>>,
    /// The copy's Host; excludes `hostSuffix`.
    pub authority: Option<Located<String>>,
    /// Changes of the copy's head.
    pub headers: Option<HeaderOperations>,
    pub redact: Option<Redact>,
    /// Only requests of these methods are copied. Empty: any.
    pub methods: Vec<Located<String>>,
    /// Requests for another protocol (WebSocket) are copied, without that wish; absent: they are not.
    pub upgrades: Option<Located<bool>>,
    /// Absent: unsampled.
    pub trace: Option<Located<CopyTrace>>,
    /// From the end of the primary request, of a gRPC call from the end of its answer, to the end of the shadow's response.
    pub timeout: Option<Located<Duration>>,
    pub body: Option<BodyPolicy>,
    pub rate_limit: Option<RateLimit>,
    /// Copies under way at once.
    pub concurrency: Option<Located<u32>>,
    pub sampling: Option<Sampling>,
    pub compare: Option<Compare>,
    pub record: Option<Record>,
    pub faults: Option<Faults>,
    /// Mirroring ends by itself this long after the policy was first put in force.
    pub ttl: Option<Located<Duration>>,
}

/// `targetRefs[]`: a VirtualService, an HTTPRoute, a GRPCRoute, one rule of them, or a Namespace.
#[derive(Clone, Debug)]
pub struct TargetRef {
    pub at: Location,
    pub kind: Located<TargetKind>,
    pub name: Located<String>,
    /// The name of a rule.
    pub section_name: Option<Located<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    VirtualService,
    HttpRoute,
    GrpcRoute,
    Namespace,
}

/// The header that tells a copy from a real request.
#[derive(Clone, Debug)]
pub struct Marker {
    pub at: Location,
    /// Lower case.
    pub header: Option<Located<String>>,
    pub value: Option<Located<String>>,
}

/// What the copy must not contain.
#[derive(Clone, Debug)]
pub struct Redact {
    pub at: Location,
    /// Lower case.
    pub headers: Vec<Located<String>>,
    pub query_params: Vec<Located<String>>,
    pub replacement: Option<Located<String>>,
}

#[derive(Clone, Debug)]
pub struct BodyPolicy {
    pub at: Location,
    /// Bytes.
    pub max: Located<usize>,
    pub on_exceed: OnExceed,
}

/// What becomes of a copy whose body is larger than allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExceed {
    /// The copy is dropped.
    #[default]
    Drop,
    /// It ends where the limit was reached.
    Truncate,
}

/// The trace that the shadow's spans belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyTrace {
    /// The primary's, but not kept.
    #[default]
    Unsampled,
    /// One of its own, kept where the primary's is.
    Own,
    /// The primary's, as it stands.
    Keep,
}

#[derive(Clone, Debug)]
pub struct RateLimit {
    pub at: Location,
    /// Copies per second.
    pub requests_per_second: Located<f64>,
    /// Copies at once; absent: one second's worth.
    pub burst: Option<Located<u32>>,
}

#[derive(Clone, Debug)]
pub struct Sampling {
    pub at: Location,
    pub mode: Located<SamplingMode>,
    /// Of mode Sticky only.
    pub sticky: Option<Located<StickyKey>>,
    pub adaptive: Option<Adaptive>,
    pub coverage: Option<Coverage>,
}

/// What is drawn for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamplingMode {
    /// Each request.
    #[default]
    Request,
    /// Everything with the same key, for ever.
    Sticky,
    /// Each connection, in the kernel.
    Connection,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StickyKey {
    Header(String),
    Cookie(String),
    QueryParam(String),
    SourceAddress,
}

/// Lowers the share under pressure. Bounds in percent of the share that the rule asks for.
#[derive(Clone, Debug)]
pub struct Adaptive {
    pub at: Location,
    pub floor: Option<Percent>,
    pub ceiling: Option<Percent>,
    /// The shadow's latency above which the share is lowered.
    pub max_latency: Option<Located<Duration>>,
    /// The share of failed copies above which it is.
    pub max_errors: Option<Percent>,
    /// The share of time in which some task waits for a CPU (PSI `some avg10`) above which it is.
    pub max_cpu_pressure: Option<Percent>,
}

/// Spends a fixed number of copies on the rarest kinds of requests.
#[derive(Clone, Debug)]
pub struct Coverage {
    pub at: Location,
    pub copies_per_second: Located<f64>,
    /// Kinds remembered.
    pub kinds: Option<Located<u32>>,
}

/// What of the two responses is compared.
#[derive(Clone, Debug)]
pub struct Compare {
    pub at: Location,
    pub status: bool,
    /// Names, lower case.
    pub headers: Vec<Located<String>>,
    pub body: CompareBody,
    /// JSON pointers into bodies that are left out, such as `/id`.
    pub ignore: Vec<Located<String>>,
    /// The share of copies that is compared; absent: all.
    pub percentage: Option<Percent>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompareBody {
    #[default]
    None,
    /// By length and hash.
    Bytes,
    /// By meaning, for `application/json`.
    Json,
}

/// What is written down of each copy.
#[derive(Clone, Debug)]
pub struct Record {
    pub at: Location,
    pub headers: bool,
    /// Bytes of each body.
    pub max_body: Option<Located<usize>>,
    pub percentage: Option<Percent>,
}

/// Faults of the copy only.
#[derive(Clone, Debug)]
pub struct Faults {
    pub at: Location,
    pub delay: Option<DelayCopy>,
    pub abort: Option<AbortCopy>,
}

#[derive(Clone, Debug)]
pub struct DelayCopy {
    pub at: Location,
    /// Absent: all copies.
    pub percentage: Option<Percent>,
    pub fixed: Located<Duration>,
}

#[derive(Clone, Debug)]
pub struct AbortCopy {
    pub at: Location,
    /// Absent: all copies.
    pub percentage: Option<Percent>,
}
