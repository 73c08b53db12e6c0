//! What the YAML reader hands over, before places are filled in. Accepts any YAML value. Small, for a large source has
//! millions of them.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A value and its place, which counts from the start of its document.
pub(super) struct RawNode {
    pub(super) at: Place,
    /// Where its text begins, and how long it is, in bytes.
    pub(super) written: (u32, u32),
    pub(super) value: Raw,
}

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

pub(super) struct RawKey {
    pub(super) at: Place,
    pub(super) name: Box<str>,
}

/// A value as the YAML reader hands it over.
pub(super) enum Raw {
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<str>),
    List(Box<[RawNode]>),
    Map(Box<[(RawKey, RawNode)]>),
}

impl Raw {
    /// Nodes in YAML's sense: values, and the keys of maps.
    pub(super) fn size(&self) -> usize {
        1 + match self {
            Self::List(items) => items.iter().map(|item| item.value.size()).sum(),
            Self::Map(entries) => entries.iter().map(|(_, value)| 1 + value.value.size()).sum(),
            _ => 0,
        }
    }
}

impl RawNode {
    pub(super) fn null() -> Self {
        Self { at: Place { line: 1, column: 1 }, written: (0, 0), value: Raw::Null }
    }
}

impl Place {
    pub(super) fn of(at: &Location) -> Self {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self { line: number(at.line()), column: number(at.column()) }
    }
}

impl<'de> Deserialize<'de> for RawNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Raw>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        let number = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok());
        let written = number(span.byte_offset()).zip(number(span.byte_len())).unwrap_or((0, 0));
        Ok(Self { at: Place::of(&spanned.referenced), written, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for RawKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { at: Place::of(&spanned.referenced), name: spanned.value.into() })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

#[allow(
    clippy::cast_precision_loss,
    reason = "no key takes a number beyond 2^53; the written text is kept beside"
)]
impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.into()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map.into()))
    }
}

impl From<Raw> for serde_json::Value {
    fn from(raw: Raw) -> Self {
        match raw {
            Raw::Null => Self::Null,
            Raw::Bool(value) => value.into(),
            Raw::Number(value) => number(value),
            Raw::Text(text) => text.into_string().into(),
            Raw::List(items) => items.into_iter().map(|item| item.value).collect(),
            Raw::Map(entries) => Self::Object(
                entries.into_iter().map(|(key, value)| (key.name.into(), value.value.into())).collect(),
            ),
        }
    }
}

/// Whole numbers without a point, as JSON's readers want them for ports.
fn number(value: f64) -> serde_json::Value {
    #[allow(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    let whole = value as i64;
    #[allow(clippy::cast_precision_loss, reason = "compared with what it came from")]
    let same = whole as f64 == value;
    if same { whole.into() } else { value.into() }
}
