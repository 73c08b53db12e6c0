//! Trace context of a copy, W3C's and B3. Unless a policy says otherwise it is kept, with the word that it is not sampled
//! (Envoy's `trace_sampled: false` of mirrors), so that spans of shadows do not appear among those of the primary.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{record::Trace, route::CopyTrace};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const NOT_SAMPLED: HeaderValue = HeaderValue::from_static("0");

pub(super) fn apply(wanted: CopyTrace, headers: &mut HeaderMap) {
    match wanted {
        CopyTrace::Unsampled => unsample(headers),
        CopyTrace::Own => begin(headers),
        CopyTrace::Keep => {}
    }
}

/// A trace of its own where there was one, sampled where that was; what else its headers say is of the other trace.
fn begin(headers: &mut HeaderMap) {
    let random = || fastrand::u64(1..);
    let (trace, span) = (format!("{:016x}{:016x}", random(), random()), format!("{:016x}", random()));
    let mut replace = |name: HeaderName, value: &dyn Fn(&str) -> Option<String>| {
        let Some(old) = headers.get(&name) else { return };
        let new = old.to_str().ok().and_then(value).and_then(|new| HeaderValue::try_from(new).ok());
        match new {
            Some(new) => drop(headers.insert(name, new)),
            // It belongs to nothing that could be understood.
            None => drop(headers.remove(name)),
        }
    };
    // Flags of later versions may mean what is not known here.
    let flags = |old: &str| Trace::parse(old.as_bytes()).map(|old| u8::from(old.sampled));
    replace(TRACEPARENT, &|old| Some(format!("00-{trace}-{span}-{:02x}", flags(old)?)));
    replace(TRACESTATE, &|_| None);
    replace(B3, &|old| match old.split('-').nth(2) {
        Some(state) => Some(format!("{trace}-{span}-{state}")),
        None if old.contains('-') => Some(format!("{trace}-{span}")),
        // A state alone names no trace.
        None => Some(old.to_owned()),
    });
    replace(B3_TRACE, &|_| Some(trace.clone()));
    replace(B3_SPAN, &|_| Some(span.clone()));
    replace(B3_PARENT, &|_| None);
}

fn unsample(headers: &mut HeaderMap) {
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
            apply(CopyTrace::Unsampled, &mut headers);
            assert_eq!(headers[name], after, "{name}: {before}");
        }
    }

    #[test]
    fn a_trace_of_its_own_shares_nothing_with_the_primarys_but_whether_it_is_kept() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("traceparent", format!("00-{trace}-{span}-01")),
            ("tracestate", "vendor=1".into()),
            ("b3", format!("{trace}-{span}-1-05e3ac9a4f6e3b90")),
            ("x-b3-traceid", trace.into()),
            ("x-b3-spanid", span.into()),
            ("x-b3-parentspanid", span.into()),
            ("x-b3-sampled", "1".into()),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        }
        let before = headers.clone();
        apply(CopyTrace::Keep, &mut headers);
        assert_eq!(headers, before);

        apply(CopyTrace::Own, &mut headers);

        let parent = headers["traceparent"].to_str().unwrap().to_owned();
        let new = Trace::parse(parent.as_bytes()).unwrap();
        assert!(new.sampled && new.to_string() != trace, "{parent}");
        assert_eq!(headers["x-b3-traceid"], new.to_string());
        assert_eq!(headers["b3"], format!("{new}-{}-1", headers["x-b3-spanid"].to_str().unwrap()));
        assert_eq!(headers["x-b3-sampled"], "1");
        for gone in ["tracestate", "x-b3-parentspanid"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        for value in headers.values() {
            assert!(!value.to_str().unwrap().contains(span), "{value:?}");
        }
        let mut none = HeaderMap::new();
        apply(CopyTrace::Own, &mut none);
        assert!(none.is_empty(), "what has no trace gets none");
    }
}
