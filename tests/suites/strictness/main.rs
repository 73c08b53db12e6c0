//! The corpus of strictness: conversations of every class of attack a proxy must be immune to. The relay passes them on
//! byte for byte; the readers tell the requests a strict server would, or stop with the documented reason; and one
//! request at the app is one request in the books, never two.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

mod case;
mod http1;
mod http2;
mod live;

use case::{Case, Class, Told, cases};
use targets::{Step, read};

#[test]
fn every_class_of_attack_has_a_conversation_or_a_suite() {
    for class in Class::ALL {
        let conversations = cases().iter().filter(|case| case.class == *class).count();
        assert!(conversations > 0 || class.suite().is_some(), "nothing tests {class:?}");
        if let Some(suite) = class.suite() {
            let path = format!("{}/suites/{suite}", env!("CARGO_MANIFEST_DIR"));
            assert!(std::fs::exists(&path).unwrap(), "{class:?} is said to be tested by {path}");
        }
    }
}

#[test]
fn the_readers_tell_what_a_strict_server_would_or_stop_with_the_reason() {
    for case in cases() {
        assert_eq!(Told::by(&read(&case.steps).events), case.told, "{}", case.name);
    }
}

/// Each step in two pieces, wherever the cut may be.
#[test]
fn no_cut_changes_what_is_told() {
    for case in cases() {
        let whole = read(&case.steps).events;
        for at in 0..case.steps.len() {
            let (Step::Client(bytes) | Step::Server(bytes)) = &case.steps[at] else { continue };
            // Of long ones, whose middle is all alike, both ends.
            let middle = 300..bytes.len().saturating_sub(300);
            for cut in (1..bytes.len()).filter(|cut| !middle.contains(cut)) {
                let (first, second) = bytes.split_at(cut);
                let pieces = [first, second].map(|piece| match &case.steps[at] {
                    Step::Client(_) => Step::Client(piece.to_vec()),
                    _ => Step::Server(piece.to_vec()),
                });
                let mut steps = case.steps.clone();
                steps.splice(at..=at, pieces);
                assert_eq!(read(&steps).events, whole, "{}: step {at} cut at {cut}", case.name);
            }
        }
    }
}

#[test]
fn http1_at_a_real_nginx_is_the_same_with_and_without_the_agent() {
    let http1: Vec<_> = cases().into_iter().filter(|case| !case.is_http2()).collect();
    live::same(&http1, false);
}

#[test]
fn http2_at_a_real_nginx_is_the_same_with_and_without_the_agent() {
    let http2: Vec<_> = cases().into_iter().filter(Case::is_http2).collect();
    live::same(&http2, true);
}
