//! HTTPRoute and GRPCRoute attached to a Service.

use super::build::*;
use crate::config::{
    Code, Resources,
    gateway::{
        BackendRef, Filter, FilterKind, GrantFrom, GrantTo, GrpcMatch, GrpcMethod, GrpcRoute, GrpcRule,
        HeaderModifier, HttpRoute, HttpRouteMatch, HttpRule, KeyMatch, MirrorFilter, MirrorShare, ObjectRef,
        ParentRef, PathMatch, PathModifier, ReferenceGrant, UrlRewrite, ValueMatch,
    },
    kubernetes::PodPhase,
};

/// A Service, `name` or `namespace/name`, of port 80.
fn reference(name: &str) -> ObjectRef {
    let (namespace, name) = name.split_once('/').map_or((None, name), |(ns, name)| (Some(ns), name));
    ObjectRef {
        at: here(),
        group: String::new(),
        kind: "Service".into(),
        namespace: namespace.map(text),
        name: text(name),
        port: Some(written(80)),
    }
}

fn parent(name: &str) -> ParentRef {
    let (namespace, name) = name.split_once('/').map_or((None, name), |(ns, name)| (Some(ns), name));
    ParentRef {
        at: here(),
        group: String::new(),
        kind: "Service".into(),
        namespace: namespace.map(str::to_owned),
        name: text(name),
        section_name: None,
        port: None,
    }
}

fn filter(kind: FilterKind) -> Filter {
    Filter { at: here(), kind }
}

fn mirror(to: &str, share: Option<MirrorShare>) -> Filter {
    filter(FilterKind::RequestMirror(MirrorFilter {
        at: here(),
        backend: reference(to),
        share: share.map(written),
    }))
}

fn backend(to: &str) -> BackendRef {
    BackendRef { target: reference(to), weight: None, filters: Vec::new() }
}

/// A rule that mirrors to `shadow`.
fn http(name: &str, matches: Vec<HttpRouteMatch>) -> HttpRule {
    HttpRule {
        at: here(),
        name: Some(name.into()),
        matches,
        filters: vec![mirror("shadow", None)],
        backends: vec![backend("app")],
        timeouts: None,
    }
}

fn everything() -> HttpRouteMatch {
    HttpRouteMatch { at: here(), path: None, headers: Vec::new(), query_params: Vec::new(), method: None }
}

fn on(path: PathMatch) -> HttpRouteMatch {
    everything().with(|m| m.path = Some(written(path)))
}

fn below(path: &str) -> HttpRouteMatch {
    on(PathMatch::Prefix(path.into()))
}

fn key(name: &str, value: &str) -> KeyMatch {
    KeyMatch { name: text(name), value: written(ValueMatch::Exact(value.into())) }
}

fn route(name: &str, rules: Vec<HttpRule>) -> HttpRoute {
    HttpRoute { meta: meta(name), parents: vec![parent("default/app")], hostnames: Vec::new(), rules }
}

/// Services `app` at 10.0.0.1 and `shadow` at 10.0.0.2 of namespace `default`.
fn world(routes: Vec<HttpRoute>) -> Resources {
    Resources {
        services: vec![kube_service("app", "app"), kube_service("shadow", "shadow")],
        pods: vec![pod("app-1", "app", "10.0.0.1"), pod("shadow-1", "shadow", "10.0.0.2")],
        http_routes: routes,
        ..Resources::default()
    }
}

fn decide(world: &World, request: &Request) -> String {
    world.decide("10.0.0.1:8080", request).expect("10.0.0.1:8080 is captured")
}

#[test]
fn a_mirror_filter_copies_every_request_of_its_rule() {
    let world = in_force(&world(vec![route("r", vec![http("it", vec![])])]));
    assert_eq!(decide(&world, &get("/")), "it");
    let shadow = "outbound|80||shadow.default.svc.cluster.local".to_owned();
    assert_eq!(world.mirrors(), [(shadow, 1_000_000)]);
    let keys: Vec<_> = world.accounts.all().iter().map(|a| a.key.rule.virtual_service.to_string()).collect();
    assert_eq!(keys, ["HTTPRoute default/r"]);
}

#[test]
fn several_filters_copy_each_its_share() {
    let shares = |shares: Vec<Option<MirrorShare>>| {
        let filters = shares.into_iter().map(|share| mirror("shadow", share)).collect();
        let world = compile(&world(vec![route("r", vec![http("it", vec![]).with(|r| r.filters = filters)])]));
        world.mirrors().into_iter().map(|(_, share)| share).collect::<Vec<_>>()
    };
    let fraction = |numerator, denominator| Some(MirrorShare::Fraction { numerator, denominator });
    assert_eq!(
        shares(vec![None, Some(MirrorShare::Percent(20)), fraction(25, 50)]),
        [1_000_000, 200_000, 500_000]
    );
    // Trap of istio#54357: the denominator counts.
    assert_eq!(shares(vec![fraction(1, 3), fraction(5, 1000)]), [333_333, 5_000]);
    assert_eq!(shares(vec![Some(MirrorShare::Percent(0))]), [0; 0]);
}

/// Trap 8.
#[test]
fn a_prefix_means_whole_elements_of_the_path() {
    let world = in_force(&world(vec![route("r", vec![http("foo", vec![below("/foo/")])])]));
    for (path, rule) in
        [("/foo", "foo"), ("/foo/", "foo"), ("/foo/bar?x", "foo"), ("/foobar", "-"), ("/Foo", "-")]
    {
        assert_eq!(decide(&world, &get(path)), rule, "{path}");
    }
}

#[test]
fn the_most_specific_match_comes_first_whatever_the_order() {
    let rules = vec![
        http("regex", vec![on(PathMatch::Regex("/a.*".into()))]),
        http("all", vec![]),
        http("short", vec![below("/a")]),
        http("header", vec![below("/a/b").with(|m| m.headers = vec![key("x", "1")])]),
        http("query", vec![below("/a/b").with(|m| m.query_params = vec![key("q", "1")])]),
        http("long", vec![below("/a/b")]),
        http("method", vec![below("/a/b").with(|m| m.method = Some(text("POST")))]),
        http("exact", vec![on(PathMatch::Exact("/a/b".into()))]),
    ];
    let world = in_force(&world(vec![route("r", rules)]));
    for (request, rule) in [
        (get("/a/b").header("x", "1"), "exact"),
        (get("/a/b/").header("x", "1").with(|r| r.method = "POST".into()), "method"),
        (get("/a/b/?q=1").header("x", "1"), "header"),
        (get("/a/b/?q=1"), "query"),
        (get("/a/b/"), "long"),
        (get("/a/x"), "short"),
        (get("/other"), "all"),
        // Below every prefix, and so below the rule for everything.
        (get("/ax"), "all"),
    ] {
        assert_eq!(decide(&world, &request), rule, "{request:?}");
    }
}

#[test]
fn equally_specific_matches_are_told_apart_by_age_then_by_name() {
    let old = |created: Option<&str>, name: &str| {
        route(name, vec![http(name, vec![])]).with(|r| r.meta.created = created.map(str::to_owned))
    };
    let first = |routes| decide(&in_force(&world(routes)), &get("/"));
    let (early, late) = (Some("2024-01-01T00:00:00Z"), Some("2025-01-01T00:00:00Z"));
    assert_eq!(first(vec![old(late, "a"), old(early, "b")]), "b");
    assert_eq!(first(vec![old(None, "b"), old(None, "a")]), "a");
}

#[test]
fn headers_compare_without_case_and_the_first_of_a_name_counts() {
    let condition = everything().with(|m| m.headers = vec![key("X-Env", "a"), key("x-env", "b")]);
    let world = in_force(&world(vec![route("r", vec![http("it", vec![condition])])]));
    assert_eq!(decide(&world, &get("/").header("x-env", "a")), "it");
    assert_eq!(decide(&world, &get("/").header("x-env", "b")), "-");
}

#[test]
fn a_route_with_a_port_holds_for_that_port_only() {
    let on_81 = route("r", vec![http("it", vec![])]).with(|r| r.parents[0].port = Some(written(81)));
    let world = compile(&world(vec![on_81]));
    assert_eq!(world.codes(), [Code::Unreachable, Code::NothingMirrored]);
}

#[test]
fn a_gateway_as_parent_is_told_and_left_alone() {
    let edge = route("r", vec![http("it", vec![])]).with(|r| r.parents[0].kind = "Gateway".into());
    assert_eq!(compile(&world(vec![edge])).codes(), [Code::NotHonoured, Code::NothingMirrored]);
}

#[test]
fn references_that_do_not_resolve_are_told_in_gateway_apis_words() {
    let told = |change: &dyn Fn(&mut ObjectRef), grant: bool| {
        let mut to = reference("shadow");
        change(&mut to);
        let mirror = FilterKind::RequestMirror(MirrorFilter { at: here(), backend: to, share: None });
        let rule = http("it", vec![]).with(|r| r.filters = vec![filter(mirror)]);
        let mut resources = world(vec![route("r", vec![rule])]);
        resources.services.push(kube_service("other/shadow", "shadow"));
        resources.pods.push(pod("other/shadow-1", "shadow", "10.0.0.3"));
        if grant {
            resources.reference_grants.push(ReferenceGrant {
                meta: meta("other/grant"),
                from: vec![GrantFrom {
                    group: "gateway.networking.k8s.io".into(),
                    kind: "HTTPRoute".into(),
                    namespace: "default".into(),
                }],
                to: vec![GrantTo { group: String::new(), kind: "Service".into(), name: None }],
            });
        }
        let world = compile(&resources);
        let first = world.report.diagnostics.first().map(|d| (d.code, d.message.clone()));
        first.filter(|(code, _)| *code == Code::UnresolvedRef).map(|(_, message)| message)
    };
    let missing = told(&|to| to.name = text("nobody"), false).unwrap();
    assert!(
        missing.contains("filters[0].requestMirror.backendRef: ResolvedRefs=False (BackendNotFound)"),
        "{missing}"
    );
    let elsewhere = |to: &mut ObjectRef| to.namespace = Some(text("other"));
    assert!(told(&elsewhere, false).unwrap().contains("(RefNotPermitted)"));
    assert_eq!(told(&elsewhere, true), None);
    assert!(told(&|to| to.kind = "Bucket".into(), false).unwrap().contains("(InvalidKind)"));
}

#[test]
fn a_mirror_that_does_not_resolve_costs_an_http_route_that_mirror_and_a_grpc_route_all_of_the_rule() {
    let filters = || vec![mirror("nobody", None), mirror("shadow", None)];
    let http = world(vec![route("r", vec![http("it", vec![]).with(|r| r.filters = filters())])]);
    assert_eq!(compile(&http).mirrors().len(), 1);
    let rule = GrpcRule {
        at: here(),
        name: None,
        matches: vec![],
        filters: filters(),
        backends: vec![backend("app")],
    };
    let mut grpc = world(vec![]);
    grpc.grpc_routes = vec![grpc_route(vec![rule])];
    assert_eq!(compile(&grpc).mirrors().len(), 0);
}

fn grpc_route(rules: Vec<GrpcRule>) -> GrpcRoute {
    GrpcRoute { meta: meta("g"), parents: vec![parent("app")], hostnames: Vec::new(), rules }
}

#[test]
fn a_method_of_grpc_is_a_path() {
    let exact = |text: &str| Some(written(ValueMatch::Exact(text.into())));
    let rule = |name: &str, service, method| GrpcRule {
        at: here(),
        name: Some(name.into()),
        matches: vec![GrpcMatch {
            at: here(),
            method: Some(GrpcMethod { at: here(), service, method }),
            headers: Vec::new(),
        }],
        filters: vec![mirror("shadow", None)],
        backends: vec![backend("app")],
    };
    let mut resources = world(vec![]);
    resources.grpc_routes = vec![grpc_route(vec![
        rule("any-get", None, exact("Get")),
        rule("cart", exact("shop.Cart"), None),
        rule("cart-add", exact("shop.Cart"), exact("Add")),
        rule("regex", Some(written(ValueMatch::Regex("shop[.]P.*".into()))), exact("Pay")),
    ])];
    let world = in_force(&resources);
    for (path, rule) in [
        ("/shop.Cart/Add", "cart-add"),
        ("/shop.Cart/Get", "cart"),
        ("/shop.Cart2/Get", "any-get"),
        ("/shop.Pay/Pay", "regex"),
        ("/shop.Pay/Add", "-"),
    ] {
        assert_eq!(decide(&world, &get(path)), rule, "{path}");
    }
}

#[test]
fn the_copy_shows_the_filters_of_the_rule_and_of_its_backend() {
    let modifier = |name: &str| {
        let set = vec![(text(name), text("100%"))];
        filter(FilterKind::RequestHeaderModifier(HeaderModifier { set, ..HeaderModifier::default() }))
    };
    let rewrite = UrlRewrite {
        hostname: Some(text("rewritten")),
        path: Some(written(PathModifier::ReplacePrefixMatch("/new/".into()))),
    };
    let rule = http("it", vec![below("/old")]).with(|r| {
        r.filters.push(modifier("x-rule"));
        r.filters.push(filter(FilterKind::UrlRewrite(rewrite)));
        r.backends[0].filters = vec![modifier("x-backend")];
    });
    let world = in_force(&world(vec![route("r", vec![rule])]));
    let copied = |path| super::copies::copy_at(&world, "10.0.0.1:8080", &get(path));
    assert_eq!(copied("/old/a?b"), ["/new/a?b", "host: rewritten", "x-rule: 100%", "x-backend: 100%"]);
    assert_eq!(copied("/old")[0], "/new");
}

#[test]
fn consumer_routes_hold_for_the_clients_of_their_own_namespace_and_come_first() {
    let consumer = route("team/c", vec![http("consumer", vec![])]).with(|r| {
        r.rules[0].backends = vec![backend("default/app")];
        r.rules[0].filters = vec![mirror("shadow", None)];
    });
    let mut resources = world(vec![route("p", vec![http("producer", vec![])]), consumer]);
    resources.services.push(kube_service("team/shadow", "shadow"));
    resources.pods.push(pod("team/shadow-1", "shadow", "10.0.0.3"));
    resources.pods.push(pod("team/client", "client", "10.0.0.9"));
    resources.reference_grants.push(ReferenceGrant {
        meta: meta("default/grant"),
        from: vec![GrantFrom {
            group: "gateway.networking.k8s.io".into(),
            kind: "HTTPRoute".into(),
            namespace: "team".into(),
        }],
        to: vec![GrantTo { group: String::new(), kind: "Service".into(), name: Some("app".into()) }],
    });
    let world = in_force(&resources);
    let from = |client: &str| world.decide_from(client.parse().unwrap(), "10.0.0.1:8080", &get("/")).unwrap();
    assert_eq!(from("10.0.0.9"), "consumer");
    assert_eq!(from("10.0.0.2"), "producer");
    assert_eq!(from("192.0.2.1"), "producer");
}

#[test]
fn of_a_virtual_service_and_the_routes_of_a_service_the_older_speaks() {
    let both = |route_created: &str| {
        let http =
            route("r", vec![http("route", vec![])]).with(|r| r.meta.created = Some(route_created.to_owned()));
        let to_shadow = rule("virtual", vec![]).with(|r| {
            r.route = vec![super::build::route("app", None)];
            r.mirror = Some(destination("shadow"));
        });
        let mut resources = world(vec![http]);
        resources.virtual_services = vec![
            virtual_service("vs", "app", vec![to_shadow])
                .with(|vs| vs.meta.created = Some("2025-01-01T00:00:00Z".into())),
        ];
        let world = compile(&resources);
        (decide(&world, &get("/")), world.codes())
    };
    assert_eq!(both("2024-01-01T00:00:00Z"), ("route".into(), vec![Code::Shadowed]));
    assert_eq!(both("2026-01-01T00:00:00Z"), ("virtual".into(), vec![Code::Shadowed]));
}

/// As with a VirtualService: see `guests`.
#[test]
fn requests_a_route_sends_to_another_services_pods_are_copied_there() {
    let rule = http("it", vec![]).with(|r| r.backends = vec![backend("app-v1")]);
    let world = in_force(&world(vec![route("r", vec![rule])]).with(|r| {
        r.services.push(kube_service("app-v1", "app-v1"));
        r.pods.push(pod("app-v1-1", "app-v1", "10.0.0.3"));
    }));
    let there = |host: &str| world.decide("10.0.0.3:8080", &get("/").host(host)).unwrap();
    assert_eq!((there("app"), there("app-v1")), ("it".into(), "-".into()));
}

#[test]
fn filters_that_are_not_honoured_are_named() {
    let other = filter(FilterKind::Other("ExtensionRef".into()));
    let rule = http("it", vec![]).with(|r| {
        r.filters.push(other);
        r.backends[0].filters = vec![mirror("shadow", None)];
    });
    let world = compile(&world(vec![route("r", vec![rule]).with(|r| r.hostnames = vec![text("x.com")])]));
    assert_eq!(world.codes(), [Code::NotHonoured; 3]);
    assert!(world.report.diagnostics.iter().any(|d| d.message.contains("filters[1]: ExtensionRef")));
}

#[test]
fn pods_that_are_over_are_no_endpoints() {
    let mut resources = world(vec![route("r", vec![http("it", vec![])])]);
    resources.pods[1].phase = PodPhase::Succeeded;
    assert_eq!(compile(&resources).codes(), [Code::NoEndpoints]);
}
