//! The two notations of values that YAML does not know: durations and quantities.

use std::time::Duration;

/// A duration as Go and so Istio write it: `1h30m`, `500ms`, `1.5s`, `0`. Negative ones are refused.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is not a duration");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text, 0_u128);
    while !rest.is_empty() {
        let (number, after) =
            rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()));
        let (unit, after) =
            after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("`{text}` has no unit")),
            _ => return Err(refuse()),
        };
        nanos += scaled(number, scale).ok_or_else(refuse)?;
        rest = after;
    }
    // Go's own limit: nanoseconds in a signed 64-bit integer, 292 years.
    let nanos = i64::try_from(nanos).map_err(|_| format!("`{text}` is too long"))?;
    if text.is_empty() { Err(refuse()) } else { Ok(Duration::from_nanos(nanos.unsigned_abs())) }
}

/// A duration as one would write it: `0s`, `90s`, `24h`.
pub(super) fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds, duration.subsec_nanos()) {
        (0, 0) => "0s".to_owned(),
        (seconds, 0) if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        _ => format!("{duration:?}"),
    }
}

/// An amount of bytes or the like as Kubernetes writes it: `64Mi`, `500k`, `1.5G`, `4096`.
pub(super) fn quantity(text: &str) -> Result<usize, String> {
    let (number, suffix) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let scale: u128 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(format!("`{text}` is not a quantity")),
    };
    let value = scaled(number, scale).ok_or_else(|| format!("`{text}` is not a quantity"))?;
    usize::try_from(value).map_err(|_| format!("`{text}` is too large"))
}

/// A decimal number times `scale`, without the rounding of floats; what is smaller than one is cut off.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.contains('.') {
        return None;
    }
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    // Eighteen places are finer than a nanosecond in a year.
    let fraction = &fraction[..fraction.len().min(18)];
    let places = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(parse(whole)? * scale + parse(fraction)? * scale / places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("0", ms(0)),
            ("0s", ms(0)),
            ("500ms", ms(500)),
            ("1.5s", ms(1_500)),
            (".5s", ms(500)),
            ("1.s", ms(1_000)),
            ("1h30m", ms(5_400_000)),
            ("1m1s1ms", ms(61_001)),
            ("250us", Duration::from_micros(250)),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for text in
            ["", "s", "-1s", "1", "15", "1 s", "1d", "1.2.3s", ".s", "1h30", "9999999999h", "1e3s", "٣s"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, expected) in
            [("64Mi", 64 << 20), ("1Gi", 1 << 30), ("500k", 500_000), ("1.5Ki", 1536), ("7", 7)]
        {
            assert_eq!(quantity(text), Ok(expected), "{text}");
        }
        for text in ["", "Mi", "-1", "64mb", "64MB", "1e3", "1 Mi", "99999999999999999999", "100000000Ti"] {
            assert!(quantity(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_them_panic(text in ".*", number in "[0-9.]{0,40}", unit in "[a-zA-Zµ]{0,2}") {
            for text in [text, format!("{number}{unit}")] {
                let _ = (duration(&text), quantity(&text));
            }
        }

        #[test]
        fn a_duration_written_by_rust_reads_back(nanos in 0..1_u64 << 62) {
            let written = format!("{}s{}ns", nanos / 1_000_000_000, nanos % 1_000_000_000);
            proptest::prop_assert_eq!(duration(&written), Ok(Duration::from_nanos(nanos)));
        }
    }
}
