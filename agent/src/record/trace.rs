//! The trace that a request belongs to, by its `traceparent` (W3C Trace Context §3.2).

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub id: [u8; 16],
    /// Whoever sent the request keeps its spans.
    pub sampled: bool,
}

impl Trace {
    /// None when the value is none that the specification allows.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let dashes = value.len() >= 55 && [2, 35, 52].iter().all(|&at| value[at] == b'-');
        let version = hex(value.get(..2)?)?;
        // Later versions may append more.
        let whole = value.len() == 55 || version > 0 && value.get(55) == Some(&b'-');
        if !dashes || !whole || version == 0xff {
            return None;
        }
        let mut id = [0; 16];
        for (byte, digits) in id.iter_mut().zip(value[3..35].chunks_exact(2)) {
            *byte = hex(digits)?;
        }
        let sampled = hex(&value[53..55])? & 1 == 1;
        (id != [0; 16]).then_some(Self { id, sampled })
    }
}

/// Two lower-case digits.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| match *digits.get(at)? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(digit(0)? << 4 | digit(1)?)
}

/// The id, as it was written.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_specification_allows_is_a_trace() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        for (value, sampled) in [
            (format!("00-{id}-{span}-01"), Some(true)),
            (format!("00-{id}-{span}-02"), Some(false)),
            (format!("01-{id}-{span}-01-more"), Some(true)),
            (format!("00-{id}-{span}-01-more"), None),
            (format!("ff-{id}-{span}-01"), None),
            (format!("00-{}-{span}-01", "0".repeat(32)), None),
            (format!("00-{}-{span}-01", id.to_uppercase()), None),
            (format!("00-{id}-{span}"), None),
            ("nonsense".into(), None),
            (String::new(), None),
        ] {
            let found = Trace::parse(value.as_bytes());
            assert_eq!(found.map(|trace| trace.sampled), sampled, "{value}");
            assert!(found.is_none_or(|trace| trace.to_string() == id), "{value}");
        }
    }
}
