//! Warnings about what mirrors do to others.

use super::{build::*, policies::shadow_policy};
use crate::config::{
    Code, Resources,
    istio::{HeaderOperations, Headers, HttpRoute, MeshLocation, VirtualService},
    shadow_policy::{Redact, ShadowPolicy, TargetKind, TargetRef},
};

#[test]
fn a_shadow_that_the_primary_also_routes_to_is_told() {
    let overlap = rule("it", vec![]).with(|r| r.route = vec![route("my-app", None)]);
    let world = compile(&app(vec![overlap]));
    assert_eq!(world.fault().code, Code::LiveShadow);
    assert!(world.fault().message.contains("10.0.0.2:8080"), "{}", world.fault().message);
}

/// A Service whose pods are `v1` and `v2`, with subsets of these names.
fn kubernetes(http: Vec<HttpRoute>) -> Resources {
    let pods = [("v1", "10.0.0.1"), ("v2", "10.0.0.2")].map(|(version, address)| {
        pod(version, "my-app", address)
            .with(|pod| pod.meta.labels = labels(&[("app", "my-app"), ("version", version)]))
    });
    Resources {
        services: vec![kube_service("my-app", "my-app")],
        pods: pods.into(),
        service_entries: Vec::new(),
        ..app(http)
    }
}

#[test]
fn a_shadow_subset_that_the_service_selects_is_told_since_kube_proxy_knows_no_subsets() {
    let world = compile(&kubernetes(vec![rule("it", vec![])]));
    assert_eq!(world.fault().code, Code::LiveShadow);
    assert!(world.fault().message.contains("the Service `my-app.default"), "{}", world.fault().message);
    // A ServiceEntry sends nothing anywhere by itself.
    in_force(&app(vec![rule("it", vec![])]));
}

/// A rule that mirrors to a host outside of the mesh.
fn outside(change: impl FnOnce(&mut HttpRoute)) -> Vec<Code> {
    compile(&to_external(rule("it", vec![]).with(change))).codes()
}

fn to_external(rule: HttpRoute) -> Resources {
    let mut resources = app(vec![rule.with(|r| r.mirror = Some(destination("api.example.com")))]);
    let external = service("external", "api.example.com", &[("192.0.2.9", "v1")]);
    resources.service_entries.push(external.with(|s| s.location = MeshLocation::External));
    resources
}

#[test]
fn credentials_and_writes_that_leave_the_mesh_are_told() {
    assert_eq!(outside(|_| {}), [Code::SecretsExposed, Code::ExternalWrites]);
    let reading = |r: &mut HttpRoute| r.matches = vec![block().with(|b| b.method = Some(regex("GET|HEAD")))];
    assert_eq!(outside(reading), [Code::SecretsExposed]);
    let remove = vec![text("authorization"), text("Cookie")];
    let request = HeaderOperations { at: here(), set: Vec::new(), add: Vec::new(), remove };
    let without = Headers { at: here(), request: Some(request), response: None };
    assert_eq!(outside(|r| r.headers = Some(Box::new(without))), [Code::ExternalWrites]);
}

#[test]
fn a_policy_that_redacts_or_names_methods_keeps_them_in() {
    let target = TargetRef {
        at: here(),
        kind: written(TargetKind::Namespace),
        name: text("default"),
        section_name: None,
    };
    let with = |change: &dyn Fn(&mut ShadowPolicy)| {
        let policy = shadow_policy("p", vec![target.clone()]).with(|policy| change(policy));
        let mut resources = to_external(rule("it", vec![]));
        resources.shadow_policies = vec![policy];
        compile(&resources).codes()
    };
    let headers = || vec![text("authorization"), text("cookie")];
    let redact = |policy: &mut ShadowPolicy| {
        let (headers, query_params) = (headers(), Vec::new());
        policy.redact = Some(Redact { at: here(), headers, query_params, replacement: None });
    };
    let remove = |policy: &mut ShadowPolicy| {
        let (set, add, remove) = (Vec::new(), Vec::new(), headers());
        policy.headers = Some(HeaderOperations { at: here(), set, add, remove });
    };
    assert_eq!(with(&redact), [Code::ExternalWrites]);
    assert_eq!(with(&remove), [Code::ExternalWrites]);
    assert_eq!(with(&|policy| policy.methods = vec![text("GET"), text("HEAD")]), [Code::SecretsExposed]);
    assert_eq!(
        with(&|policy| policy.methods = vec![text("POST")]),
        [Code::SecretsExposed, Code::ExternalWrites]
    );
}

#[test]
fn mirrors_that_lead_back_to_where_they_came_from_are_told_once() {
    let to = |from: &str, to: &str| -> VirtualService {
        let rule = rule("it", vec![]).with(|r| {
            r.route = vec![route(from, None)];
            r.mirror = Some(destination(to));
        });
        virtual_service(from, from, vec![rule])
    };
    let entry =
        |name: &str, address| service(name, &format!("{name}.default.svc.cluster.local"), &[(address, "v1")]);
    let services = vec![entry("a", "10.0.0.1"), entry("b", "10.0.0.2"), entry("c", "10.0.0.3")];
    let world = |virtual_services| {
        compile(&Resources { virtual_services, service_entries: services.clone(), ..Resources::default() })
    };
    assert_eq!(world(vec![to("a", "b"), to("b", "c"), to("c", "a")]).codes(), [Code::MirrorLoop]);
    assert_eq!(world(vec![to("a", "b"), to("b", "c")]).codes(), []);
}
