//! The state machine of outlier detection: nothing but numbers and moments.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use crate::{
    route::Outliers,
    upstream::outlier::{Detector, Sign},
};

const SECOND: Duration = Duration::from_secs(1);

/// Istio's defaults, but for the share: every endpoint may be ejected.
fn settings() -> Outliers {
    Outliers {
        consecutive_5xx: 5,
        consecutive_gateway_errors: 0,
        split_local_errors: false,
        consecutive_local_failures: 5,
        interval: 10 * SECOND,
        base_ejection: 30 * SECOND,
        max_ejected_percent: 100,
        min_healthy_percent: 0,
    }
}

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

struct Scene {
    detector: Detector,
    now: Instant,
}

impl Scene {
    fn new(settings: Outliers, hosts: u16) -> Self {
        let now = Instant::now();
        let mut detector = Detector::new(settings, now);
        detector.set_hosts((1..=hosts).map(address));
        Self { detector, now }
    }

    /// True when the last of these signs ejected the endpoint.
    fn see(&mut self, port: u16, signs: &[Sign]) -> bool {
        let mut ejected = false;
        for sign in signs {
            ejected = self.detector.observe(address(port), *sign, self.now);
        }
        ejected
    }

    fn is_ejected(&mut self, port: u16) -> bool {
        self.detector.check(self.now);
        self.detector.is_ejected(address(port))
    }

    /// Seconds from now until the endpoint is back.
    fn back_after(&mut self, port: u16) -> u64 {
        let start = self.now;
        while self.is_ejected(port) {
            self.now += SECOND;
        }
        (self.now - start).as_secs()
    }
}

use Sign::{Failed, Status, TimedOut};

#[test]
fn so_many_errors_in_a_row_eject_and_one_less_does_not() {
    let mut scene = Scene::new(settings(), 2);
    assert!(!scene.see(1, &[Status(500); 4]));
    assert!(!scene.see(1, &[Status(200)]), "a success starts the count anew");
    assert!(!scene.see(1, &[Status(404)]), "an error of the client's is a success of the server's");
    assert!(!scene.see(1, &[Status(500), Status(503), Status(599), Status(501)]));
    assert!(scene.see(1, &[Status(500)]));
    assert!(scene.is_ejected(1) && !scene.is_ejected(2));
}

#[test]
fn a_count_of_zero_turns_its_errors_off() {
    let mut scene = Scene::new(Outliers { consecutive_5xx: 0, ..settings() }, 2);
    scene.see(1, &[Status(503); 1000]);
    scene.see(1, &[Failed; 1000]);
    assert!(!scene.is_ejected(1));
}

#[test]
fn gateway_errors_have_a_count_of_their_own() {
    let gateway = || Outliers { consecutive_gateway_errors: 3, ..settings() };
    let mut scene = Scene::new(gateway(), 2);
    assert!(!scene.see(1, &[Status(502), Status(503)]));
    assert!(scene.see(1, &[Status(504)]));
    let mut scene = Scene::new(gateway(), 2);
    assert!(!scene.see(1, &[Status(502), Status(503), Status(500), Status(504)]), "a 500 interrupts them");
    assert!(scene.see(1, &[Status(500)]), "and is the fifth of the 5xx");
}

#[test]
fn failures_to_get_an_answer_count_as_gateway_errors() {
    let gateway = Outliers { consecutive_gateway_errors: 3, consecutive_5xx: 0, ..settings() };
    let mut scene = Scene::new(gateway, 2);
    assert!(scene.see(1, &[Failed, TimedOut, Status(502)]));
}

#[test]
fn failures_to_get_an_answer_are_split_off_where_that_is_asked_for() {
    let split = Outliers { split_local_errors: true, consecutive_local_failures: 2, ..settings() };
    let mut scene = Scene::new(split, 3);
    assert!(!scene.see(1, &[Failed, Status(500), TimedOut]), "any answer starts the count anew");
    assert!(scene.see(1, &[Failed]));
    assert!(!scene.see(2, &[Status(500), Status(500), Failed, Status(500), Status(500)]));
    assert!(scene.see(2, &[Status(500)]), "failures neither add to the 5xx nor interrupt them");
}

#[test]
fn each_ejection_in_a_row_lasts_longer_up_to_five_minutes() {
    let mut scene = Scene::new(settings(), 2);
    let mut lasted = Vec::new();
    for _ in 0..12 {
        assert!(scene.see(1, &[Status(500); 5]));
        lasted.push(scene.back_after(1));
    }
    // To the next interval.
    assert_eq!(lasted, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
}

#[test]
fn an_endpoint_that_keeps_well_is_forgiven_step_by_step() {
    let mut scene = Scene::new(settings(), 2);
    for _ in 0..3 {
        scene.see(1, &[Status(500); 5]);
        scene.back_after(1);
    }
    // Two intervals in force, each looked at on its own even if nobody looked in between.
    scene.now += 20 * SECOND;
    assert!(!scene.is_ejected(1));
    assert!(scene.see(1, &[Status(500); 5]));
    assert_eq!(scene.back_after(1), 60);
}

#[test]
fn one_that_comes_back_has_all_of_its_chances_again() {
    let mut scene = Scene::new(settings(), 2);
    scene.see(1, &[Status(500); 9]);
    scene.back_after(1);
    assert!(!scene.see(1, &[Status(500); 4]));
    assert!(scene.see(1, &[Status(500)]));
}

#[test]
fn no_more_than_the_share_is_ejected_the_first_one_included() {
    let mut scene = Scene::new(Outliers { max_ejected_percent: 34, ..settings() }, 3);
    assert!(scene.see(1, &[Status(500); 5]));
    assert!(!scene.see(2, &[Status(500); 50]));
    let mut scene = Scene::new(Outliers { max_ejected_percent: 10, ..settings() }, 3);
    assert!(!scene.see(1, &[Status(500); 50]), "one of three is more than 10 %");
    let mut scene = Scene::new(Outliers { max_ejected_percent: 10, ..settings() }, 10);
    assert!(scene.see(1, &[Status(500); 5]));
}

#[test]
fn with_too_few_in_force_ejections_are_disregarded() {
    let mut scene = Scene::new(Outliers { min_healthy_percent: 50, ..settings() }, 4);
    scene.see(1, &[Status(500); 5]);
    scene.see(2, &[Status(500); 5]);
    assert!(!scene.detector.is_panicking(), "half of them are in force");
    scene.see(3, &[Status(500); 5]);
    assert!(scene.detector.is_panicking());
    let mut scene = Scene::new(settings(), 1);
    scene.see(1, &[Status(500); 5]);
    assert!(!scene.detector.is_panicking(), "0 means never");
}

#[test]
fn what_is_known_of_endpoints_that_stay_is_kept() {
    let mut scene = Scene::new(settings(), 2);
    scene.see(1, &[Status(500); 5]);
    scene.see(2, &[Status(500); 4]);
    scene.detector.set_hosts([address(2), address(1), address(3)]);
    assert!(scene.is_ejected(1));
    assert!(scene.see(2, &[Status(500)]));
    assert!(!scene.see(9, &[Status(500); 5]), "whoever is not there is not ejected");
}

#[test]
fn intervals_that_nobody_looked_at_cost_nothing() {
    let mut scene = Scene::new(Outliers { interval: Duration::from_nanos(1), ..settings() }, 2);
    scene.now += Duration::from_secs(3600 * 24 * 365);
    assert!(!scene.is_ejected(1));
}
