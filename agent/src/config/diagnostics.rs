//! Faults in configuration: what, where, how bad, and what to do. Codes are stable: `UMB01..` is refused input,
//! `UMB02..` is accepted input whose meaning a user should know about.

use std::fmt;

use super::Location;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// Accepted, but something written has no or a surprising effect.
    Warning,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = ($text:literal, $severity:ident),)+) => {
        /// What kind of fault; the text form is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The code of this name, in any case.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
            }

            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
    /// The text is not YAML, or uses what is refused for safety (duplicate keys, runaway aliases).
    Syntax = ("UMB0101", Error),
    /// A document is not a Kubernetes object, or of a kind and version not known here.
    UnknownKind = ("UMB0102", Error),
    /// A value has the wrong type or cannot be understood (duration, address, quantity, …).
    BadValue = ("UMB0103", Error),
    /// A required field is missing.
    Missing = ("UMB0104", Error),
    /// One of umbra's own kinds has no such field.
    UnknownField = ("UMB0105", Error),
    /// A number outside its range, such as a percentage of 130.
    OutOfRange = ("UMB0106", Error),
    /// Two documents of one kind share namespace and name, or a list has something twice.
    Duplicate = ("UMB0107", Error),
    /// Fields that exclude each other, such as `mirror` and `mirrors`.
    Conflict = ("UMB0108", Error),
    /// A mirror's host is in no ServiceEntry.
    UnknownHost = ("UMB0109", Error),
    /// A mirror's subset is in no DestinationRule of its host.
    UnknownSubset = ("UMB0110", Error),
    /// The mirror's service has no such port, or several and none was named.
    UnknownPort = ("UMB0111", Error),
    /// A regular expression that RE2 would refuse, or one too large.
    BadRegex = ("UMB0112", Error),
    /// A file or directory that cannot be read.
    Unreadable = ("UMB0113", Error),
    /// A field of an Istio or Kubernetes kind that is not honoured.
    NotHonoured = ("UMB0201", Warning),
    /// A deprecated field.
    Deprecated = ("UMB0202", Warning),
    /// A mirror whose destination has no endpoints.
    NoEndpoints = ("UMB0203", Warning),
    /// A rule that no request can reach.
    Unreachable = ("UMB0204", Warning),
    /// A mirror that never gets a copy: a percentage that rounds to nothing, or a rule that answers by itself.
    MirrorsNothing = ("UMB0205", Warning),
    /// A VirtualService that loses to another one of the same host.
    Shadowed = ("UMB0206", Warning),
    /// Nothing in the configuration mirrors anything.
    NothingMirrored = ("UMB0207", Warning),
    /// A rule that mirrors, but whose own destination (host, subset or port) is unknown.
    UnknownPrimary = ("UMB0208", Warning),
    /// A VirtualService's host that is in no ServiceEntry.
    UnmatchedHost = ("UMB0209", Warning),
    /// A delegate that is missing, not exported, unused, or in conflict with the rule that delegates to it.
    Delegation = ("UMB0220", Warning),
    /// A reference of a route that does not resolve: Gateway API's `ResolvedRefs=False` with its reason.
    UnresolvedRef = ("UMB0221", Warning),
    /// A shadow that also gets live traffic.
    LiveShadow = ("UMB0222", Warning),
    /// Copies that would be mirrored again, were they not marked.
    MirrorLoop = ("UMB0223", Warning),
    /// Credentials are copied to a host outside of the mesh.
    SecretsExposed = ("UMB0224", Warning),
    /// Requests that write are copied to a host outside of the mesh.
    ExternalWrites = ("UMB0225", Warning),
    /// A setting of a mirror's destination that cannot be used for copies.
    Unusable = ("UMB0230", Warning),
    /// A mirror whose DestinationRule asks for TLS in a way that is impossible here: every copy fails.
    NoTls = ("UMB0231", Warning),
    /// A file with certificates that is missing, unreadable or of no use: copies fail until it is there.
    TlsFile = ("UMB0232", Warning),
    /// Copies are sent unencrypted to a port that speaks TLS.
    PlainToTls = ("UMB0233", Warning),
    /// A certificate or key of AgentConfig that cannot be used: what is encrypted with it is relayed unread.
    AppCertificate = ("UMB0234", Warning),
    /// Nearer endpoints are asked for, and nothing ever makes one fail: Istio prefers none then.
    NoFailover = ("UMB0235", Warning),
    /// The admin API can be asked from other machines, and asks for no token.
    Exposed = ("UMB0250", Warning),
    /// A target of a ShadowPolicy, or a rule of it, that does not exist.
    UnknownTarget = ("UMB0240", Warning),
    /// A part of a ShadowPolicy that an equally specific one overrules.
    Overruled = ("UMB0241", Warning),
    /// A document of a kind that says nothing about mirroring.
    Skipped = ("UMB0210", Warning),
    /// A file without a document, or a directory without a file that is read.
    NothingRead = ("UMB0211", Warning),
}

/// One fault.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub code: Code,
    pub at: Location,
    /// `VirtualService default/my-app`, when the fault lies in one.
    pub object: Option<String>,
    /// `spec.http[1].mirrorPercentage.value: 130 is not within 0..=100`
    pub message: String,
    /// The likely reason or the next step.
    pub hint: Option<String>,
}

/// Every fault found, in the order of discovery.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// True when the configuration must be refused.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.code.severity() == Severity::Error)
    }
}

impl Diagnostic {
    /// The configuration is refused for it.
    pub fn is_error(&self) -> bool {
        self.code.severity() == Severity::Error
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
