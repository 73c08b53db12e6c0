//! Query parameters by their names, as they stand in a request target. Only names are ever decoded; what is not spoken
//! of keeps its bytes and its place.

use std::{borrow::Cow, iter};

/// The parts between ampersands.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = &str> {
    query.split('&')
}

/// Whether a name as written (`%74oken`, `my+key`) means this one.
pub(super) fn named(written: &str, name: &str) -> bool {
    decoded(written.as_bytes()).eq(name.bytes())
}

/// The path with the listed parameters replaced, or taken out; None when it has none of them. A parameter without `=`
/// has no value to replace.
pub(super) fn redacted(path: &str, names: &[Box<str>], replacement: Option<&str>) -> Option<String> {
    let (before, query) = path.split_once('?')?;
    let split = |pair| <str>::split_once(pair, '=').map_or((pair, None), |(name, value)| (name, Some(value)));
    let listed = |written: &str| names.iter().any(|name| named(written, name));
    if !pairs(query).any(|pair| listed(split(pair).0)) {
        return None;
    }
    let kept = pairs(query).filter_map(|pair| match (split(pair), replacement) {
        ((name, _), _) if !listed(name) => Some(Cow::Borrowed(pair)),
        ((name, Some(_)), Some(text)) => Some(Cow::Owned(format!("{name}={text}"))),
        (_, Some(_)) => Some(Cow::Borrowed(pair)),
        (_, None) => None,
    });
    let kept = kept.collect::<Vec<_>>().join("&");
    Some(if kept.is_empty() { before.to_owned() } else { format!("{before}?{kept}") })
}

/// Percent signs without two digits after them stand for themselves, as browsers and servers read them.
fn decoded(written: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = written;
    iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        if first == b'%'
            && let (Some(high), Some(low)) = (digit(0), digit(1))
        {
            rest = &after[2..];
            return u8::try_from(high << 4 | low).ok();
        }
        rest = after;
        Some(if first == b'+' { b' ' } else { first })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(path: &str, replacement: Option<&str>) -> String {
        redacted(path, &["token".into(), "my key".into()], replacement).unwrap_or_else(|| "as it was".into())
    }

    #[test]
    fn listed_parameters_are_replaced_in_their_places() {
        let with = |path| redact(path, Some("x"));
        assert_eq!(with("/a?b=1&token=secret&c=2"), "/a?b=1&token=x&c=2");
        assert_eq!(with("/a?token=1&token=2&Token=3"), "/a?token=x&token=x&Token=3");
        assert_eq!(with("/a?%74o%6Ben=1&my+key=2&my%20key=3"), "/a?%74o%6Ben=x&my+key=x&my%20key=x");
        assert_eq!(with("/a?token=a=b&token&token="), "/a?token=x&token&token=x");
        assert_eq!(with("/a?b=%26token=1&&d"), "as it was");
        assert_eq!(with("/token=1"), "as it was");
        assert_eq!(with("/a?tokens=1&%zzoken=2&%7"), "as it was");
        assert_eq!(redact("/a?b=%zz&token=1", Some("")), "/a?b=%zz&token=");
    }

    #[test]
    fn listed_parameters_are_taken_out() {
        let without = |path| redact(path, None);
        assert_eq!(without("/a?b=1&token=secret&c=2"), "/a?b=1&c=2");
        assert_eq!(without("/a?token&b&my+key"), "/a?b");
        assert_eq!(without("/a?token=1"), "/a");
        assert_eq!(without("/a?"), "as it was");
    }
}
