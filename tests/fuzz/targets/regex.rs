//! Expressions of RE2, up to the first NUL, and a text after it: whatever is accepted is compiled within its limits
//! and matched in linear time; what is refused is refused for a reason.

use umbra::route::re2;

use crate::{Target, in_workspace};

pub(crate) const TARGET: Target = Target { name: "regex", run, max_len: 256, words, seeds };

fn words() -> Vec<String> {
    let words = [
        "(?:",
        "(?P<a>",
        "(?<a>",
        "(?i)",
        "(?s-m:",
        "\\Q",
        "\\E",
        "\\pL",
        "\\p{Greek}",
        "\\p{^Lu}",
        "\\PN",
        "\\d",
        "\\W",
        "\\b",
        "\\B",
        "\\A",
        "\\z",
        "\\x{10FFFF}",
        "\\x00",
        "[[:alpha:]]",
        "[^",
        "[]a]",
        "{1000}",
        "{0,1000}",
        "{2,}",
        "*?",
        "+?",
        "??",
        "|",
        "\\C",
        "^",
        "$",
        "é",
        "😀",
    ];
    words.map(str::to_owned).to_vec()
}

/// The expressions for which RE2's own verdict was recorded.
fn seeds() -> Vec<Vec<u8>> {
    let recorded = std::fs::read_to_string(in_workspace("agent/src/route/re2/recorded.jsonl")).unwrap();
    let pattern = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = line["matches"][0].as_str().unwrap_or_default();
        format!("{}\0{text}", line["pattern"].as_str().unwrap()).into_bytes()
    };
    recorded.lines().map(pattern).collect()
}

fn run(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else { return };
    let (pattern, text) = data.split_once('\0').unwrap_or((data, data));
    let whole = re2::compile(pattern);
    let part = re2::search(pattern);
    match (&whole, &part) {
        (Ok(whole), Ok(part)) => {
            // What matches as a whole is found somewhere.
            assert!(!whole.is_match(text.as_bytes()) || part.is_match(text), "{pattern:?} on {text:?}");
        }
        (Err(fault), _) => assert!(!fault.trim().is_empty(), "{pattern:?} is refused without a word"),
        // Groups that are caught take more room.
        (Ok(_), Err(fault)) => assert!(fault.contains("too large"), "{pattern:?}: {fault}"),
    }
    literal(text);
}

/// A text with every sign escaped matches itself and nothing longer.
fn literal(text: &str) {
    let escape = |c: char| match c {
        c if c.is_ascii_punctuation() || c == ' ' => format!("\\{c}"),
        c => format!("\\x{{{:x}}}", u32::from(c)),
    };
    let pattern: String = text.chars().map(escape).collect();
    let whole = re2::compile(&pattern).unwrap_or_else(|fault| panic!("{pattern:?}: {fault}"));
    assert!(whole.is_match(text.as_bytes()), "{text:?} does not match itself");
    assert!(!whole.is_match(format!("{text}x").as_bytes()), "{text:?} matches more than itself");
}
