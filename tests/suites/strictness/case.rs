//! One conversation, and what a reader must tell of it.

use targets::{Event, Step};

use crate::{http1, http2};

/// The classes of attack, as they are known in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    LengthAndEncoding,
    ObfuscatedEncoding,
    Lengths,
    Chunks,
    HeadBytes,
    BodyOnGet,
    UpgradeSmuggling,
    Http10Body,
    UndrainedBody,
    H2cSmuggling,
    HostConfusion,
    Http2Desync,
    RapidReset,
    ContinuationFlood,
    EmptyData,
    HpackBomb,
    Slow,
    DecompressionBomb,
    ShadowSpecific,
}

impl Class {
    pub(crate) const ALL: &[Self] = &[
        Self::LengthAndEncoding,
        Self::ObfuscatedEncoding,
        Self::Lengths,
        Self::Chunks,
        Self::HeadBytes,
        Self::BodyOnGet,
        Self::UpgradeSmuggling,
        Self::Http10Body,
        Self::UndrainedBody,
        Self::H2cSmuggling,
        Self::HostConfusion,
        Self::Http2Desync,
        Self::RapidReset,
        Self::ContinuationFlood,
        Self::EmptyData,
        Self::HpackBomb,
        Self::Slow,
        Self::DecompressionBomb,
        Self::ShadowSpecific,
    ];

    /// Where what one conversation cannot show is tested: how much it costs, and what the shadow does.
    pub(crate) fn suite(self) -> Option<&'static str> {
        match self {
            Self::RapidReset | Self::ContinuationFlood | Self::EmptyData | Self::HpackBomb | Self::Slow => {
                Some("floods/main.rs")
            }
            Self::ShadowSpecific => Some("isolation/main.rs"),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) class: Class,
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) told: Told,
}

/// What a reader told, in short.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// Whole requests: method, target and body.
    pub(crate) requests: Vec<String>,
    /// Of requests that were passed over or cut.
    pub(crate) doubts: Vec<&'static str>,
    /// Why the reading ended, if it did.
    pub(crate) end: Option<&'static str>,
}

impl Told {
    pub(crate) fn by(events: &[Event]) -> Self {
        let mut told = Self::default();
        let mut open = Vec::<(u64, String)>::new();
        let place = |open: &[(u64, String)], id: u64| open.iter().position(|(other, _)| *other == id);
        for event in events {
            match event {
                Event::RequestHead(id, text) => {
                    let line = text.split(' ').take(2).collect::<Vec<_>>().join(" ");
                    open.push((*id, line));
                }
                Event::RequestData(id, data) => {
                    let at = place(&open, *id).unwrap();
                    open[at].1 += &format!(" {}", data.escape_ascii());
                }
                Event::RequestEnd(id, ..) => {
                    let at = place(&open, *id).unwrap();
                    told.requests.push(open.remove(at).1);
                }
                Event::Cut(_, umbra::wire::Cut::Doubt(reason)) | Event::Skipped(reason) => {
                    told.doubts.push(reason.as_str());
                }
                Event::Unread(reason) => told.end = Some(reason.as_str()),
                Event::Cut(..) | Event::ResponseHead(..) | Event::ResponseEnd(..) => {}
            }
        }
        told
    }
}

impl Case {
    pub(crate) fn is_http2(&self) -> bool {
        self.sent().starts_with(http2::PREFACE)
    }

    /// Everything the client says.
    pub(crate) fn sent(&self) -> Vec<u8> {
        let said = |step: &Step| if let Step::Client(bytes) = step { bytes.clone() } else { Vec::new() };
        self.steps.iter().flat_map(said).collect()
    }
}

pub(crate) fn cases() -> Vec<Case> {
    [http1::cases(), http2::cases()].concat()
}

/// The client says this.
pub(crate) fn client(bytes: impl AsRef<[u8]>) -> Step {
    Step::Client(bytes.as_ref().to_vec())
}

/// The server says this.
pub(crate) fn server(bytes: impl AsRef<[u8]>) -> Step {
    Step::Server(bytes.as_ref().to_vec())
}
