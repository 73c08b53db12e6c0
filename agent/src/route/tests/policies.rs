//! Which ShadowPolicies hold for a rule, and what is said of those that hold for nothing.

use std::{sync::Arc, time::Duration};

use super::build::*;
use crate::{
    config::{
        Code, Resources,
        shadow_policy::{
            Adaptive, Marker, Redact, Sampling, SamplingMode, ShadowPolicy, TargetKind, TargetRef,
        },
    },
    route::{Policy, Share},
};

fn target(kind: TargetKind, name: &str, section: Option<&str>) -> TargetRef {
    TargetRef { at: here(), kind: written(kind), name: text(name), section_name: section.map(text) }
}

pub(super) fn shadow_policy(name: &str, targets: Vec<TargetRef>) -> ShadowPolicy {
    ShadowPolicy {
        meta: meta(name),
        targets,
        marker: None,
        host_suffix: None,
        authority: None,
        headers: None,
        redact: None,
        methods: Vec::new(),
        upgrades: None,
        trace: None,
        timeout: None,
        body: None,
        rate_limit: None,
        concurrency: None,
        sampling: None,
        compare: None,
        record: None,
        faults: None,
        ttl: None,
    }
}

fn seconds(policy: ShadowPolicy, seconds: u64) -> ShadowPolicy {
    policy.with(|policy| policy.timeout = Some(written(Duration::from_secs(seconds))))
}

fn on_app(name: &str) -> ShadowPolicy {
    shadow_policy(name, vec![target(TargetKind::VirtualService, "my-app", None)])
}

fn on_app_rule(name: &str, rule: &str) -> ShadowPolicy {
    shadow_policy(name, vec![target(TargetKind::VirtualService, "my-app", Some(rule))])
}

fn on_namespace(name: &str) -> ShadowPolicy {
    shadow_policy(name, vec![target(TargetKind::Namespace, "default", None)])
}

/// Rules `one` (for /one) and `it`.
fn two_rules(shadow_policies: Vec<ShadowPolicy>) -> Resources {
    let http = vec![rule("one", vec![on_path(prefix("/one"))]), rule("it", vec![])];
    Resources { shadow_policies, ..app(http) }
}

impl World {
    fn policy(&self, rule: &str) -> Option<Arc<Policy>> {
        let mirrors = self.snapshot.mirrors();
        let mirror = mirrors.iter().find(|mirror| mirror.account.key.rule.rule == rule).unwrap();
        mirror.enforced.as_ref().map(|enforced| Arc::clone(&enforced.policy))
    }

    fn timeout(&self, rule: &str) -> Option<u64> {
        self.policy(rule)?.timeout.map(|timeout| timeout.as_secs())
    }
}

#[test]
fn the_most_specific_policy_wins_part_by_part() {
    let methods = |policy: ShadowPolicy, method| policy.with(|policy| policy.methods = vec![text(method)]);
    let world = in_force(&two_rules(vec![
        methods(seconds(on_namespace("wide"), 1), "GET"),
        seconds(on_app("route"), 2).with(|policy| policy.concurrency = Some(written(5))),
        seconds(on_app_rule("rule", "one"), 3),
    ]));
    assert_eq!((world.timeout("one"), world.timeout("it")), (Some(3), Some(2)));
    let (one, it) = (world.policy("one").unwrap(), world.policy("it").unwrap());
    for policy in [&one, &it] {
        assert_eq!((policy.concurrency, policy.methods.as_slice()), (Some(5), ["GET".to_owned()].as_slice()));
    }
    assert_eq!(
        one.of.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["default/rule", "default/route", "default/wide"]
    );
}

#[test]
fn rules_that_the_same_policies_hold_for_share_what_they_make() {
    let world = in_force(&two_rules(vec![seconds(on_namespace("wide"), 1)]));
    assert!(Arc::ptr_eq(&world.policy("one").unwrap(), &world.policy("it").unwrap()));
    assert!(in_force(&two_rules(vec![])).policy("it").is_none());
}

#[test]
fn of_equally_specific_policies_the_older_wins_and_the_other_is_told() {
    let created = |policy: ShadowPolicy, year| {
        policy.with(|policy| policy.meta.created = Some(format!("{year}-01-01T00:00:00Z")))
    };
    let redacting = |policy: ShadowPolicy| {
        policy.with(|policy| {
            let headers = vec![text("cookie")];
            policy.redact = Some(Redact { at: here(), headers, query_params: Vec::new(), replacement: None });
        })
    };
    let world = compile(&two_rules(vec![
        redacting(seconds(created(on_namespace("a"), 2025), 1)),
        seconds(created(on_namespace("b"), 2024), 2),
        seconds(created(on_namespace("c"), 2026), 3),
    ]));
    assert_eq!(world.timeout("it"), Some(2));
    assert!(world.policy("it").unwrap().redact.is_some(), "b says nothing of that");
    assert_eq!(world.codes(), [Code::Overruled, Code::Overruled]);
    let told = &world.report.diagnostics[0];
    assert_eq!(told.object.as_deref(), Some("ShadowPolicy default/a"));
    assert!(
        told.message.contains("spec.timeout: ShadowPolicy default/b already says this"),
        "{}",
        told.message
    );

    let by_name = compile(&two_rules(vec![seconds(on_namespace("z"), 1), seconds(on_namespace("y"), 2)]));
    assert!(by_name.snapshot.markers().is_empty());
    assert_eq!((by_name.timeout("it"), by_name.codes()), (Some(2), vec![Code::Overruled]));
}

#[test]
fn targets_that_do_not_exist_are_told_with_the_nearest_name() {
    let told = |target| {
        let world = compile(&two_rules(vec![seconds(shadow_policy("p", vec![target]), 1)]));
        assert_eq!(world.timeout("it"), None);
        assert_eq!(world.fault().code, Code::UnknownTarget);
        (world.fault().message.clone(), world.fault().hint.clone().unwrap_or_default())
    };
    let (what, hint) = told(target(TargetKind::VirtualService, "my-ap", None));
    assert_eq!(what, "spec.targetRefs[0].name: no VirtualService `default/my-ap`");
    assert!(hint.contains("`my-app`"), "{hint}");
    let (what, hint) = told(target(TargetKind::VirtualService, "my-app", Some("onn")));
    assert_eq!(what, "spec.targetRefs[0].sectionName: VirtualService `default/my-app` has no rule `onn`");
    assert!(hint.contains("`one`"), "{hint}");
    told(target(TargetKind::HttpRoute, "my-app", None));
    told(target(TargetKind::Namespace, "other", None));
}

#[test]
fn a_policy_holds_for_objects_of_its_own_namespace_only() {
    let world = compile(&two_rules(vec![seconds(on_app("other/p"), 1)]));
    assert_eq!((world.timeout("it"), world.fault().code), (None, Code::UnknownTarget));
    assert!(world.fault().hint.as_ref().unwrap().contains("namespace default"));
}

#[test]
fn a_delegate_s_rules_are_under_its_policies_and_its_root_s() {
    let leaf = virtual_service("leaf", "unused", vec![rule("leaf", vec![])]).with(|vs| vs.hosts.clear());
    let root = rule("root", vec![]).with(|rule| {
        rule.delegate = Some(delegate("leaf"));
        rule.route.clear();
        rule.mirror = None;
    });
    let on_leaf = |section| shadow_policy("p", vec![target(TargetKind::VirtualService, "leaf", section)]);
    for policy in [on_leaf(None), on_leaf(Some("leaf")), on_app_rule("p", "root-leaf"), on_app("p")] {
        let mut resources =
            Resources { shadow_policies: vec![seconds(policy, 1)], ..app(vec![root.clone()]) };
        resources.virtual_services.push(leaf.clone());
        assert_eq!(in_force(&resources).timeout("root-leaf"), Some(1));
    }
}

fn by_connection(policy: ShadowPolicy) -> ShadowPolicy {
    let mode = written(SamplingMode::Connection);
    let sampling = Sampling { at: here(), mode, sticky: None, adaptive: None, coverage: None };
    policy.with(|policy| policy.sampling = Some(sampling))
}

/// Rules `one` at 5 % and `it` at 20 %.
fn two_shares(shadow_policies: Vec<ShadowPolicy>) -> Resources {
    two_rules(shadow_policies).with(|resources| {
        let http = &mut resources.virtual_services[0].http;
        http[0].mirror_percentage = percent(5.0);
        http[1].mirror_percentage = percent(20.0);
    })
}

#[test]
fn a_port_hands_over_the_largest_share_of_connections_that_its_mirrors_draw_for() {
    let world = in_force(&two_shares(vec![by_connection(on_app("p"))]));
    let captures = world.snapshot.captures();
    assert!(
        !captures.is_empty() && captures.iter().all(|(_, share)| *share == Share(200_000)),
        "{captures:?}"
    );
    // One that draws for each request has to see them all.
    let world = in_force(&two_shares(vec![by_connection(on_app_rule("p", "it"))]));
    assert!(world.snapshot.captures().iter().all(|(_, share)| *share == Share::ALL));
    let world = in_force(&two_shares(vec![]));
    assert!(world.snapshot.captures().iter().all(|(_, share)| *share == Share::ALL));
}

#[test]
fn the_share_of_connections_follows_the_one_in_force() {
    let adaptive = Adaptive {
        at: here(),
        floor: None,
        ceiling: None,
        max_latency: None,
        max_errors: None,
        max_cpu_pressure: None,
    };
    let adapting = by_connection(on_app("p")).with(|policy| {
        policy.sampling.as_mut().unwrap().adaptive = Some(adaptive);
    });
    let world = in_force(&two_shares(vec![adapting]));
    for mirror in world.snapshot.mirrors() {
        mirror.account.standing.put_in_force(700_000);
    }
    assert!(world.snapshot.captures().iter().all(|(_, share)| *share == Share(140_000)));
}

#[test]
fn what_a_policy_cannot_have_yet_is_told() {
    let redact = Redact {
        at: here(),
        headers: vec![text("content-length")],
        query_params: Vec::new(),
        replacement: None,
    };
    let world = compile(&two_rules(vec![on_namespace("p").with(|policy| policy.redact = Some(redact))]));
    assert_eq!(world.fault().code, Code::NotHonoured);
}

#[test]
fn a_rule_s_own_timeout_is_its_mirrors() {
    let world = in_force(&app(vec![
        rule("it", vec![]).with(|r| r.timeout = Some(Box::new(written(Duration::from_secs(3))))),
    ]));
    assert_eq!(world.snapshot.mirrors()[0].timeout, Some(Duration::from_secs(3)));
    let none = in_force(&app(vec![
        rule("it", vec![]).with(|r| r.timeout = Some(Box::new(written(Duration::ZERO)))),
    ]));
    assert_eq!(none.snapshot.mirrors()[0].timeout, None);
}

#[test]
fn the_time_of_a_ttl_goes_on_when_the_policy_changes() {
    let lasting = |hours: u64| {
        on_namespace("p").with(|policy| policy.ttl = Some(written(Duration::from_secs(hours * 3600))))
    };
    let world = in_force(&two_rules(vec![lasting(1)]));
    let (first, now) = (world.policy("it").unwrap().ttl.clone().unwrap(), std::time::Instant::now());
    first.since.start(now, Duration::ZERO);
    let later = now + Duration::from_secs(5400);
    assert!(!first.is_over(now) && first.is_over(later));

    let mut report = crate::config::Report::default();
    let reloaded =
        crate::route::Snapshot::compile(&two_rules(vec![lasting(2)]), &world.accounts, &mut report);
    let second = reloaded.mirrors()[0].enforced.clone().unwrap().policy.ttl.clone().unwrap();
    assert!(!second.is_over(later) && second.is_over(later + Duration::from_secs(1800)));
}

#[test]
fn every_marker_is_known_also_of_policies_that_hold_for_nothing_here() {
    let marked = |policy: ShadowPolicy, header| {
        let marker = Marker { at: here(), header: Some(text(header)), value: None };
        policy.with(|policy| policy.marker = Some(marker))
    };
    let world = compile(&two_rules(vec![
        marked(on_namespace("elsewhere/p"), "x-b"),
        marked(on_namespace("p"), "x-a"),
        marked(on_app("q"), "x-b"),
    ]));
    assert_eq!(world.snapshot.markers(), ["x-a", "x-b"]);
}
