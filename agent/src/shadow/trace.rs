//! Trace context of a copy: kept, with the word that it is not sampled (Envoy's `trace_sampled: false` of mirrors), so
//! that spans of shadows do not appear among those of the primary.

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const NOT_SAMPLED: HeaderValue = HeaderValue::from_static("0");

pub(super) fn unsample(headers: &mut HeaderMap) {
    if let Some(value) = headers.get_mut(TRACEPARENT)
        && let Some(cleared) = traceparent(value.as_bytes())
    {
        *value = cleared;
    }
    if let Some(value) = headers.get_mut(B3)
        && let Some(cleared) = b3(value.as_bytes())
    {
        *value = cleared;
    }
    for name in [B3_SAMPLED, B3_FLAGS] {
        if let Some(value) = headers.get_mut(name) {
            *value = NOT_SAMPLED;
        }
    }
}

/// W3C Trace Context §3.2: version, trace, parent, flags of two hexadecimal digits, whose last bit means sampled. Later
/// versions may append more.
fn traceparent(value: &[u8]) -> Option<HeaderValue> {
    const FLAGS: std::ops::Range<usize> = 53..55;
    let flags = u8::from_str_radix(str::from_utf8(value.get(FLAGS)?).ok()?, 16).ok()?;
    let dashes = [2, 35, 52].iter().all(|&at| value[at] == b'-');
    if !dashes || flags & 1 == 0 || value.get(FLAGS.end).is_some_and(|&after| after != b'-') {
        return None;
    }
    let mut cleared = value.to_vec();
    cleared[FLAGS].copy_from_slice(format!("{:02x}", flags & !1).as_bytes());
    HeaderValue::from_bytes(&cleared).ok()
}

/// `trace-span`, `trace-span-state`, `trace-span-state-parent`, or the state alone: `1` for sampled, `d` for debug.
fn b3(value: &[u8]) -> Option<HeaderValue> {
    let text = str::from_utf8(value).ok()?;
    let mut parts: Vec<_> = text.split('-').collect();
    let state = if parts.len() == 1 { 0 } else { 2 };
    let state = parts.get_mut(state).filter(|state| matches!(**state, "1" | "d"))?;
    *state = "0";
    HeaderValue::from_str(&parts.join("-")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sampled_flag_is_cleared_and_nothing_else() {
        let ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        for (name, before, after) in [
            ("traceparent", format!("00-{ids}-01"), format!("00-{ids}-00")),
            ("traceparent", format!("00-{ids}-03"), format!("00-{ids}-02")),
            ("traceparent", format!("01-{ids}-01-more"), format!("01-{ids}-00-more")),
            ("traceparent", format!("00-{ids}-00"), format!("00-{ids}-00")),
            ("traceparent", "nonsense".into(), "nonsense".into()),
            ("traceparent", format!("00-{ids}-zz"), format!("00-{ids}-zz")),
            ("b3", format!("{ids}-1"), format!("{ids}-0")),
            ("b3", format!("{ids}-d-05e3ac9a4f6e3b90"), format!("{ids}-0-05e3ac9a4f6e3b90")),
            ("b3", ids.into(), ids.into()),
            ("b3", "1".into(), "0".into()),
            ("x-b3-sampled", "1".into(), "0".into()),
            ("x-b3-flags", "1".into(), "0".into()),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::try_from(&before).unwrap());
            unsample(&mut headers);
            assert_eq!(headers[name], after, "{name}: {before}");
        }
    }
}
