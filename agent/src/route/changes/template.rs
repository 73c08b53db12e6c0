//! Header values as Envoy reads them: format strings, where `%REQ(x)%` stands for something of the request and `%%`
//! for a percent sign.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST};

use super::Original;

/// A value with its gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Box<str>),
    /// `%REQ(X?Y):N%`: the first of these fields that the request has, its first N bytes.
    Request {
        fields: Vec<Field>,
        most: usize,
    },
    Client {
        port: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Field {
    Method,
    Path,
    Header(HeaderName),
}

/// Why a value is no template here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    #[error("`%{0}%` is not known here")]
    Unknown(String),
    #[error("a percent sign without its end: write `%%` for the sign itself")]
    Open,
    #[error("holds characters that no header may have")]
    Characters,
}

impl Template {
    /// Reads a value.
    ///
    /// # Errors
    /// When Envoy would refuse it, or for a command whose meaning is not known to a copy.
    pub fn new(written: &str) -> Result<Self, TemplateFault> {
        if HeaderValue::from_str(written).is_err() {
            return Err(TemplateFault::Characters);
        }
        let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), written);
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            let Some((command, after)) = after.split_once('%') else { return Err(TemplateFault::Open) };
            rest = after;
            if command.is_empty() {
                text.push('%');
                continue;
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text).into()));
            }
            pieces.push(Piece::new(command).ok_or_else(|| TemplateFault::Unknown(command.to_owned()))?);
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
        Ok(Self(pieces))
    }

    /// A value that means itself, percent signs and all.
    pub fn literal(text: &str) -> Result<Self, TemplateFault> {
        Self::new(&text.replace('%', "%%"))
    }

    /// None when the value comes out empty.
    pub(super) fn fill(&self, headers: &HeaderMap, original: Original<'_>) -> Option<HeaderValue> {
        let mut value = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => value.extend_from_slice(text.as_bytes()),
                Piece::Client { port: false } => {
                    value.extend_from_slice(original.client.ip().to_string().as_bytes());
                }
                Piece::Client { port: true } => {
                    value.extend_from_slice(original.client.to_string().as_bytes());
                }
                Piece::Request { fields, most } => {
                    let read = fields.iter().find_map(|field| field.read(headers, original));
                    let read = read.unwrap_or_default();
                    value.extend_from_slice(&read[..read.len().min(*most)]);
                }
            }
        }
        HeaderValue::from_bytes(&value).ok().filter(|value| !value.is_empty())
    }

    /// As it would be written.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            let _ = match piece {
                Piece::Text(text) => write!(out, "{}", text.replace('%', "%%")),
                Piece::Client { port: true } => write!(out, "%DOWNSTREAM_REMOTE_ADDRESS%"),
                Piece::Client { port: false } => write!(out, "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
                Piece::Request { fields, .. } => {
                    let names: Vec<_> = fields.iter().map(Field::name).collect();
                    write!(out, "%REQ({})%", names.join("?"))
                }
            };
        }
        out
    }
}

impl Piece {
    fn new(command: &str) -> Option<Self> {
        match command {
            "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => {
                return Some(Self::Client { port: true });
            }
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => {
                return Some(Self::Client { port: false });
            }
            _ => {}
        }
        let (names, end) = command.strip_prefix("REQ(")?.split_once(')')?;
        let most = match end.strip_prefix(':') {
            Some(digits) => digits.parse().ok()?,
            None if end.is_empty() => usize::MAX,
            None => return None,
        };
        let fields = names.splitn(2, '?').map(Field::new).collect::<Option<Vec<_>>>()?;
        Some(Self::Request { fields, most })
    }
}

impl Field {
    fn new(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":authority" | "host" => Self::Header(HOST),
            other => Self::Header(HeaderName::from_bytes(other.as_bytes()).ok()?),
        })
    }

    fn name(&self) -> &str {
        match self {
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Header(name) => name.as_str(),
        }
    }

    /// Of several values of one header Envoy takes the first.
    fn read<'a>(&self, headers: &'a HeaderMap, original: Original<'a>) -> Option<&'a [u8]> {
        match self {
            Self::Method => Some(original.method.as_bytes()),
            Self::Path => Some(original.path.as_bytes()),
            Self::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
        }
    }
}
