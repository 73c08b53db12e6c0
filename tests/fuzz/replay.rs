//! Every kept input of every target, and every past finding, through the target's function: no fuzzer is needed.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use targets::{TARGETS, Target, files};

fn replay(name: &str) {
    let target = Target::find(name).unwrap();
    for (path, input) in files(&target.corpus()) {
        // Shown only if the test fails: the last one is the culprit.
        println!("{}", path.display());
        (target.run)(&input);
    }
    for seed in (target.seeds)() {
        println!("{}", String::from_utf8_lossy(&seed));
        (target.run)(&seed);
    }
}

macro_rules! replayed {
    ($($test:ident: $name:literal,)+) => {
        $(#[test] fn $test() { replay($name); })+

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($name),+]);
        }
    };
}

replayed! {
    kept_configurations_hold: "config",
    kept_objects_hold: "objects",
    kept_rules_hold: "rules",
    kept_http1_conversations_hold: "http1",
    kept_messages_hold: "messages",
    kept_requests_are_the_same_to_hyper: "strict",
    kept_http2_conversations_hold: "http2",
    kept_frames_hold: "frames",
    kept_first_bytes_hold: "sniff",
    kept_openings_hold: "openings",
    kept_splits_hold: "splits",
    kept_expressions_hold: "regex",
}

/// The beginning of every fuzzing, without a fuzzer: what is put together from bytes takes any bytes.
#[test]
fn random_inputs_hold() {
    for name in ["messages", "frames", "openings", "splits"] {
        let target = Target::find(name).unwrap();
        for _ in 0..100 {
            let seed = fastrand::u64(..);
            println!("{name}, seed {seed}");
            let mut input = vec![0; target.max_len / 2];
            fastrand::Rng::with_seed(seed).fill(&mut input);
            (target.run)(&input);
        }
    }
}

/// A million pairs: every set of rules meets a hundred requests.
#[test]
fn the_compiled_matcher_agrees_with_the_obvious_one() {
    let mut rng = fastrand::Rng::new();
    let mut pairs = 0;
    while pairs < 1_000_000 {
        let seed = rng.u64(..);
        println!("seed {seed}");
        let mut input = vec![0; 8 << 10];
        fastrand::Rng::with_seed(seed).fill(&mut input);
        pairs += targets::rules::check(&input);
    }
}
