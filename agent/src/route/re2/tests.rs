use super::compile;

fn full(pattern: &str, text: &str) -> bool {
    compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text.as_bytes())
}

#[test]
fn the_whole_text_must_match() {
    assert!(full("/users/[0-9]+", "/users/7") && !full("/users/[0-9]+", "/users/7/cart"));
    assert!(full("a|b", "b") && !full("a|b", "ab"));
    assert!(!full("a", "a\n"));
}

#[test]
fn perl_classes_are_ascii_as_in_re2() {
    assert!(full(r"\d+", "42") && !full(r"\d", "٣"));
    assert!(full(r"[\w-.]+", "a_b-c.d") && !full(r"\w", "é"));
    assert!(full(r"é\b.", "éa") && full("é.", "éé"));
}

#[test]
fn what_is_a_plain_character_in_re2_is_one_here() {
    for (pattern, text) in [
        ("/users/{id}", "/users/{id}"),
        ("a{,2}", "a{,2}"),
        (r"\<a\>", "<a>"),
        (r"\Qa.b*\E+", "a.b**"),
        ("[[a&&b~~]+", "[&~a"),
        ("[]a]", "]"),
        ("[+--]", ","),
        ("[a-]", "-"),
        ("#é ", "#é "),
        (r"\x41\x{42}", "AB"),
    ] {
        assert!(full(pattern, text), "{pattern}");
    }
}

#[test]
fn what_re2_refuses_is_refused() {
    for pattern in [
        "*",
        "a**",
        "a++",
        "a{2}{3}",
        "a{1001}",
        "(a{500}){3}",
        "(?x)a",
        "(?u)a",
        "(?=a)",
        "(?<!a)b",
        r"(a)\1",
        r"\u0041",
        r"[a-\d]",
        "a)(b",
        "(a",
        "[a",
        "a\\",
        "[[:foo:]]",
        "(?P=n)",
        "[b-a]",
    ] {
        assert!(compile(pattern).is_err(), "{pattern}");
    }
    assert!(compile(r"\pL{1000}").is_err_and(|e| e.contains("too large")));
}

/// Verdicts of RE2 itself (2025-11-05, its defaults), taken over random expressions of everything its syntax has.
#[test]
fn the_verdicts_are_those_of_re2() {
    for line in include_str!("recorded.jsonl").lines() {
        let recorded: serde_json::Value = serde_json::from_str(line).unwrap();
        let pattern = recorded["pattern"].as_str().unwrap();
        if recorded["refused"] == true {
            assert!(compile(pattern).is_err(), "{pattern}");
            continue;
        }
        for (texts, expected) in [(&recorded["matches"], true), (&recorded["misses"], false)] {
            for text in texts.as_array().unwrap() {
                assert_eq!(full(pattern, text.as_str().unwrap()), expected, "{pattern} on {text}");
            }
        }
    }
}
