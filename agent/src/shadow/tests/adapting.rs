//! The controller against models of shadows, second by second.

use proptest::prelude::*;

use super::*;

const LIMITS: Adaptive = Adaptive {
    floor: 0.05,
    ceiling: 1.0,
    max_latency: Some(Duration::from_millis(500)),
    max_errors: Some(0.05),
    max_cpu_pressure: Some(40.0),
};

/// What a shadow that bears so many of 1000 requests a second shows at a share.
fn bearing(capacity: f64) -> impl Fn(f64) -> Reading {
    move |part| {
        let copies = part * 1000.0;
        let failed = (copies - capacity).max(0.0);
        let completed = copies - failed;
        Reading { completed, failed, answers: completed, waited: completed * 0.05, ..Reading::default() }
    }
}

/// The share in force at each second.
fn run(controller: &mut Controller, from: u64, seconds: u64, shadow: impl Fn(f64) -> Reading) -> Vec<f64> {
    let second = |second| {
        let reading = shadow(controller.part);
        controller.tick(Duration::from_secs(second), &LIMITS, reading)
    };
    (from..from + seconds).map(second).collect()
}

fn fresh() -> Controller {
    Controller::new(&LIMITS)
}

fn falls(parts: &[f64]) -> usize {
    parts.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

#[test]
fn a_healthy_shadow_gets_the_whole_share() {
    let parts = run(&mut fresh(), 0, 3600, bearing(1000.0));
    assert!(parts.iter().all(|&part| (part - 1.0).abs() < 1e-9));
}

#[test]
fn a_dead_shadow_gets_the_floor_and_a_little_more_now_and_then() {
    let parts = run(&mut fresh(), 0, 3600, bearing(0.0));
    assert!(parts[60] <= 0.06, "{}", parts[60]);
    assert!(parts[120..].iter().all(|&part| part <= 0.15));
    let mean = parts[120..].iter().sum::<f64>() / 3480.0;
    assert!(mean < 0.08, "{mean}");
}

#[test]
fn a_shadow_that_bears_half_is_kept_just_below_it_without_oscillation() {
    let parts = run(&mut fresh(), 0, 7200, bearing(500.0));
    let settled = &parts[1800..];
    assert!(falls(settled) <= 15, "fell {} times in an hour and a half", falls(settled));
    let (least, most) = settled.iter().fold((1.0_f64, 0.0_f64), |(l, m), &p| (l.min(p), m.max(p)));
    assert!(least >= 0.3 && most <= 0.6, "{least}..{most}");
    let mean = settled.iter().sum::<f64>() / 5400.0;
    assert!((0.38..=0.52).contains(&mean), "{mean}");
}

#[test]
fn a_shadow_that_is_well_again_gets_everything_back_slowly() {
    let mut controller = fresh();
    run(&mut controller, 0, 900, bearing(0.0));
    let parts = run(&mut controller, 900, 1200, bearing(1000.0));
    assert!(falls(&parts) == 0 && (parts[1199] - 1.0).abs() < 1e-9, "{}", parts[1199]);
    assert!(
        parts.windows(2).all(|pair| pair[1] - pair[0] <= GROWS_BY + 1e-9),
        "faster than a hundredth a second"
    );
}

#[test]
fn latency_cpu_and_crowding_are_pressure_too() {
    let slow = |part: f64| Reading { answers: part * 1000.0, waited: part * 1000.0, ..bearing(1000.0)(part) };
    let busy = |part| Reading { cpu: Some(41.0), ..bearing(1000.0)(part) };
    let crowded = |part| Reading { crowded: 20.0, ..bearing(1000.0)(part) };
    for shadow in [&slow as &dyn Fn(f64) -> Reading, &busy, &crowded] {
        assert!(run(&mut fresh(), 0, 60, shadow)[59] < 0.1);
    }
    let calm = |part| Reading { cpu: Some(39.0), crowded: 1.0, ..bearing(1000.0)(part) };
    assert_eq!(falls(&run(&mut fresh(), 0, 60, calm)), 0);
}

#[test]
fn two_failures_of_two_copies_tell_nothing_yet() {
    let mut controller = fresh();
    let two = Reading { failed: 2.0, ..Reading::default() };
    assert!((controller.tick(Duration::ZERO, &LIMITS, two) - 1.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn whatever_happens_the_share_stays_within_its_bounds(
        readings in prop::collection::vec((0.0..100.0, 0.0..100.0, 0.0..10.0, 0.0..100.0), 1..300),
    ) {
        let mut controller = fresh();
        for (second, (completed, failed, crowded, cpu)) in readings.into_iter().enumerate() {
            let reading = Reading { completed, failed, crowded, cpu: Some(cpu), ..Reading::default() };
            let part = controller.tick(Duration::from_secs(second as u64), &LIMITS, reading);
            prop_assert!((LIMITS.floor..=LIMITS.ceiling).contains(&part));
        }
    }
}
