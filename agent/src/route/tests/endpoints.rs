//! Where a service's endpoints are: those of Services, EndpointSlices, pods, ServiceEntries and WorkloadEntries.

use super::build::*;
use crate::config::{
    Code, Labels, Resources,
    istio::{Resolution, ServiceEntry, WorkloadEntry},
    kubernetes::{EndpointSlice, PodRef, ServiceType, SliceEndpoint, SlicePort, TargetPort, Transport},
};

/// Services `app` and `shadow`, and a rule that mirrors the one to the other.
fn mirrored() -> Resources {
    let rule = rule("it", vec![]).with(|r| {
        r.route = vec![route("app", None)];
        r.mirror = Some(destination("shadow"));
    });
    Resources {
        services: vec![kube_service("app", "app"), kube_service("shadow", "shadow")],
        virtual_services: vec![virtual_service("app", "app", vec![rule])],
        ..Resources::default()
    }
}

/// With `shadow` at 10.0.9.9.
fn with_shadow() -> Resources {
    mirrored().with(|r| r.pods.push(pod("shadow-1", "shadow", "10.0.9.9")))
}

fn slice(name: &str, service: &str, endpoints: Vec<SliceEndpoint>) -> EndpointSlice {
    let ports = vec![SlicePort {
        name: "http".into(),
        port: Some(8080),
        transport: Transport::Tcp,
        app_protocol: None,
    }];
    EndpointSlice { meta: meta(name), service: Some(service.into()), endpoints, ports }
}

/// A ready endpoint.
fn at(address: &str) -> SliceEndpoint {
    SliceEndpoint {
        addresses: vec![address.parse().unwrap()],
        ready: true,
        serving: true,
        terminating: false,
        pod: None,
        node: None,
        zone: None,
        for_zones: Vec::new(),
        for_nodes: Vec::new(),
    }
}

/// Ready, serving, terminating.
fn state(address: &str, [ready, serving, terminating]: [bool; 3]) -> SliceEndpoint {
    SliceEndpoint { ready, serving, terminating, ..at(address) }
}

/// Where copies of a request captured at an address go.
fn copied(world: &World, address: &str) -> Vec<String> {
    let rules = world.snapshot.inbound(address.parse().unwrap()).expect("the address is captured");
    let endpoints = |rule: &crate::route::Rule| {
        rule.mirrors[0].cluster.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    get("/").read(|head| match rules.decide(head, CLIENT) {
        crate::route::Decision::Rule(rule) => endpoints(rule),
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_endpoints_of_all_slices_are_captured_of_both_families() {
    let world = in_force(&with_shadow().with(|r| {
        r.endpoint_slices = vec![
            slice("app-1", "app", vec![at("10.0.0.1"), at("10.0.0.2")]),
            slice("app-2", "app", vec![at("10.0.0.3")]),
            slice("app-3", "app", vec![at("fd00::1")]),
            slice("stray", "other", vec![at("10.0.0.4")]),
            slice("elsewhere/app-4", "app", vec![at("10.0.0.5")]),
        ];
    }));
    assert_eq!(world.captured(), ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "[fd00::1]:8080"]);
}

#[test]
fn only_ready_endpoints_get_copies_and_the_others_are_captured_all_the_same() {
    let states = || {
        vec![
            state("10.0.0.1", [true, true, false]),
            state("10.0.0.2", [false, false, false]),
            state("10.0.0.3", [false, true, true]),
            state("10.0.0.4", [false, false, true]),
        ]
    };
    let app = slice("app-1", "app", states());
    let shadow = slice("shadow-1", "shadow", states()).with(|s| s.ports[0].port = Some(9090));
    let resources = mirrored().with(|r| r.endpoint_slices = vec![app, shadow]);
    let world = in_force(&resources);
    assert_eq!(world.captured(), ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080"]);
    assert_eq!(copied(&world, "10.0.0.2:8080"), ["10.0.0.1:9090"]);
    let world = in_force(&resources.with(|r| r.services[1].publish_not_ready_addresses = true));
    assert_eq!(copied(&world, "10.0.0.1:8080").len(), 4);
}

#[test]
fn the_port_of_a_slice_is_found_by_the_name_of_the_services_port() {
    let own = |number: u16| move |s: &mut EndpointSlice| s.ports[0].port = Some(number);
    let other =
        SlicePort { name: "admin".into(), port: Some(9999), transport: Transport::Tcp, app_protocol: None };
    let world = in_force(&with_shadow().with(|r| {
        r.services[0].ports[0].target = TargetPort::Name("web".into());
        r.endpoint_slices = vec![
            slice("app-1", "app", vec![at("10.0.0.1")]).with(own(8080)),
            slice("app-2", "app", vec![at("10.0.0.2")]).with(own(9090)),
            slice("app-3", "app", vec![at("10.0.0.3")]).with(|s| s.ports = vec![other]),
        ];
    }));
    assert_eq!(world.captured(), ["10.0.0.1:8080", "10.0.0.2:9090"]);
}

#[test]
fn a_named_target_port_is_where_each_pod_has_it() {
    let serving = |name: &str, address: &str, port: &str, number: u16| {
        pod(name, "app", address).with(|p| assert_eq!(p.ports.insert(port.into(), number), None))
    };
    let world = in_force(&with_shadow().with(|r| {
        r.services[0].ports[0].target = TargetPort::Name("web".into());
        r.pods.extend([
            serving("app-1", "10.0.0.1", "web", 8080),
            serving("app-2", "10.0.0.2", "web", 9090),
            serving("app-3", "10.0.0.3", "other", 8080),
        ]);
    }));
    assert_eq!(world.captured(), ["10.0.0.1:8080", "10.0.0.2:9090"]);
}

#[test]
fn without_slices_the_pods_of_the_selector_are_the_endpoints() {
    let two_families = pod("app-1", "app", "10.0.0.1").with(|p| p.ips.push("fd00::1".parse().unwrap()));
    let world = in_force(&with_shadow().with(|r| {
        r.pods.extend([
            two_families,
            pod("app-2", "app", "10.0.0.2").with(|p| p.ready = false),
            pod("app-3", "app", "10.0.0.3").with(|p| p.terminating = true),
            pod("other", "other", "10.0.0.4"),
            pod("elsewhere/app-4", "app", "10.0.0.5"),
            pod("shadow-2", "shadow", "10.0.9.8").with(|p| p.ready = false),
            pod("shadow-3", "shadow", "10.0.9.7").with(|p| p.terminating = true),
        ]);
    }));
    assert_eq!(world.captured(), ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "[fd00::1]:8080"]);
    assert_eq!(copied(&world, "10.0.0.1:8080"), ["10.0.9.9:8080"]);
}

#[test]
fn slices_overrule_the_selector_and_take_labels_from_their_pods() {
    let versioned = |name: &str, version: &str, address: &str| {
        pod(name, "shadow", address)
            .with(|p| p.meta.labels = labels(&[("app", "shadow"), ("version", version)]))
    };
    let named = |pod: &str| Some(PodRef { namespace: "default".into(), name: pod.into() });
    let world = in_force(&mirrored().with(|r| {
        r.virtual_services[0].http[0].mirror = Some(destination("shadow/v2"));
        r.destination_rules = vec![versions("shadow", "shadow", &["v1", "v2"])];
        r.pods = vec![
            pod("app-1", "app", "10.0.0.1"),
            versioned("shadow-1", "v1", "10.0.9.1"),
            versioned("shadow-2", "v2", "10.0.9.2"),
            versioned("shadow-3", "v2", "10.0.9.3"),
            versioned("shadow-4", "v2", "10.0.9.4"),
        ];
        // By its name where there is one, else by its address.
        let by_name = SliceEndpoint { pod: named("shadow-3"), ..at("10.0.9.33") };
        let endpoints = vec![at("10.0.9.1"), at("10.0.9.2"), by_name];
        r.endpoint_slices = vec![slice("shadow-x", "shadow", endpoints)];
    }));
    assert_eq!(copied(&world, "10.0.0.1:8080"), ["10.0.9.2:8080", "10.0.9.33:8080"]);
}

#[test]
fn a_service_without_a_selector_has_the_endpoints_somebody_writes_for_it() {
    let unselected = with_shadow().with(|r| {
        r.services[0].selector = Labels::NONE;
        r.pods.push(pod("app-1", "app", "10.0.0.1"));
    });
    assert_eq!(compile(&unselected).captured(), [""; 0]);
    let written =
        unselected.with(|r| r.endpoint_slices = vec![slice("mine", "app", vec![at("192.168.0.7")])]);
    assert_eq!(in_force(&written).captured(), ["192.168.0.7:8080"]);
}

#[test]
fn a_headless_service_is_captured_like_another_and_a_port_without_a_number_is_its_own() {
    let headless = |r: &mut Resources| {
        r.services[0].headless = true;
        r.services[0].ports[0].number = written(8081);
        r.endpoint_slices =
            vec![slice("app-1", "app", vec![at("10.0.0.1")]).with(|s| s.ports[0].port = None)];
    };
    let world = in_force(&with_shadow().with(headless));
    assert_eq!(world.captured(), ["10.0.0.1:8081"]);
    assert_eq!(world.decide("10.0.0.1:8081", &get("/").host("app-0.app")).as_deref(), Some("it"));
}

#[test]
fn an_external_name_stands_for_the_entry_of_that_host_else_for_its_addresses() {
    let external = |r: &mut Resources| {
        r.services[1].kind = ServiceType::ExternalName;
        r.services[1].external_name = Some(text("API.example.com"));
        r.pods = vec![pod("app-1", "app", "10.0.0.1"), pod("shadow-1", "shadow", "10.0.9.9")];
    };
    let resources = mirrored().with(external);
    let world = compile(&resources);
    assert_eq!(world.codes(), [Code::SecretsExposed, Code::ExternalWrites]);
    assert_eq!(copied(&world, "10.0.0.1:8080"), ["API.example.com:80"]);
    let entry = service("api", "api.example.com", &[("192.0.2.9", "v1")]);
    let world = in_force(&resources.with(|r| r.service_entries.push(entry)));
    assert_eq!(copied(&world, "10.0.0.1:8080"), ["192.0.2.9:8080"]);
}

/// An entry for `shadow.example.com` whose endpoints are workloads.
fn selecting() -> ServiceEntry {
    service("shadow", "shadow.example.com", &[]).with(|s| {
        s.workload_selector = Some(written(labels(&[("app", "vm")])));
        s.ports = vec![port(80, "http", "HTTP", 7070)];
    })
}

fn workload(name: &str, address: &str, app: &str) -> WorkloadEntry {
    let mut entry = service("x", "x", &[(address, "v1")]).endpoints.remove(0);
    entry.labels = labels(&[("app", app)]);
    WorkloadEntry { meta: meta(name), endpoint: entry }
}

#[test]
fn a_workload_selector_takes_workload_entries_and_pods_of_its_namespace() {
    let named = workload("vm-2", "10.0.9.2", "vm")
        .with(|w| assert_eq!(w.endpoint.ports.insert("http".into(), 6060), None));
    let world = in_force(&mirrored().with(|r| {
        r.virtual_services[0].http[0].mirror = Some(destination("shadow.example.com"));
        r.service_entries = vec![selecting()];
        r.pods = vec![pod("app-1", "app", "10.0.0.1"), pod("vm-3", "vm", "10.0.9.3")];
        r.workload_entries = vec![
            workload("vm-1", "10.0.9.1", "vm"),
            named,
            workload("other", "10.0.9.4", "other"),
            workload("elsewhere/vm-5", "10.0.9.5", "vm"),
        ];
    }));
    // Pods first; where an entry names the port, that is where it serves it.
    assert_eq!(copied(&world, "10.0.0.1:8080"), ["10.0.9.3:7070", "10.0.9.1:7070", "10.0.9.2:6060"]);
}

/// §1.10.
#[test]
fn a_service_beats_an_entry_of_the_same_host() {
    let entry = service("mine", "app.default.svc.cluster.local", &[("10.0.0.7", "v1")])
        .with(|s| s.meta.created = Some("2001-01-01T00:00:00Z".into()));
    let at = entry.hosts[0].at.clone();
    let world = compile(&with_shadow().with(|r| {
        r.pods.push(pod("app-1", "app", "10.0.0.1"));
        r.service_entries.push(entry);
    }));
    assert_eq!(world.captured(), ["10.0.0.1:8080"]);
    assert_eq!((world.fault().code, &world.fault().at), (Code::Shadowed, &at));
    assert!(world.fault().message.contains("Service default/app"), "{}", world.fault().message);
}

#[test]
fn an_address_and_a_port_together_say_whose_rules_hold() {
    let on = |name: &str, port: u16| {
        service(name, &format!("{name}.example.com"), &[("10.0.0.1", "v1")])
            .with(|s| s.ports[0].target_port = port)
    };
    let rules = |name: &str| {
        let to_shadow = rule(name, vec![]).with(|r| {
            r.route = vec![route(&format!("{name}.example.com"), None)];
            r.mirror = Some(destination("shadow"));
        });
        virtual_service(name, &format!("{name}.example.com"), vec![to_shadow])
    };
    let world = in_force(&with_shadow().with(|r| {
        r.virtual_services = vec![rules("one"), rules("two")];
        r.service_entries = vec![on("one", 8081), on("two", 8082), on("three", 8083)];
    }));
    for (address, rule) in [
        ("10.0.0.1:8081", Some("one")),
        ("10.0.0.1:8082", Some("two")),
        ("[::ffff:10.0.0.1]:8082", Some("two")),
        ("10.0.0.1:8083", None),
        ("10.0.0.1:80", None),
        ("10.0.0.2:8081", None),
    ] {
        assert_eq!(world.decide(address, &get("/")).as_deref(), rule, "{address}");
    }
}

/// With `resolution: NONE` the client's own address is dialled: useless for a mirror (§1.10).
#[test]
fn an_entry_that_resolves_nothing_has_no_endpoints() {
    let entry =
        service("shadow", "shadow.example.com", &[]).with(|s| s.resolution = written(Resolution::None));
    let world = compile(&mirrored().with(|r| {
        r.virtual_services[0].http[0].mirror = Some(destination("shadow.example.com"));
        r.pods.push(pod("app-1", "app", "10.0.0.1"));
        r.service_entries.push(entry);
    }));
    assert_eq!(world.codes(), [Code::NoEndpoints]);
}
