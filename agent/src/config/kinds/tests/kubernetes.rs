use crate::config::{
    kubernetes::{PodPhase, PodRef, ServiceType, TargetPort},
    testing::{clean, faults},
};

const PRINTED: &str = include_str!("../../../../../config/examples/kubernetes.yaml");

#[test]
fn what_kubectl_prints_arrives_without_a_word() {
    let resources = clean(PRINTED);
    let [service] = &resources.services[..] else { panic!("one Service") };
    assert_eq!((service.kind, service.headless), (ServiceType::ClusterIp, false));
    assert_eq!(service.cluster_ips, ["10.96.0.10".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(service.ports[0].target, TargetPort::Name("web".into()));
    assert_eq!(service.ports[1].target, TargetPort::Number(9090));
    assert_eq!(service.ports[0].app_protocol.as_deref(), Some("http"));
    assert_eq!(service.export_to[0].value, "*");
    let [slice] = &resources.endpoint_slices[..] else { panic!("one EndpointSlice") };
    assert_eq!(slice.service.as_deref(), Some("my-app"));
    let ready: Vec<_> = slice.endpoints.iter().map(|e| (e.ready, e.serving, e.terminating)).collect();
    assert_eq!(ready, [(true, true, false), (false, true, true)]);
    let pod = PodRef { namespace: "default".into(), name: "my-app-v1-x".into() };
    assert_eq!(slice.endpoints[0].pod, Some(pod));
    assert_eq!(slice.endpoints[0].for_zones, ["eu-a"]);
    assert_eq!(slice.ports[0].port, Some(8080));
    let [one, two] = &resources.pods[..] else { panic!("two Pods") };
    assert_eq!((one.phase, one.ready, one.terminating), (PodPhase::Running, true, false));
    assert_eq!((two.ready, two.terminating), (false, true));
    assert_eq!(one.ports["web"], 8080);
    assert_eq!(one.meta.labels.get("version"), Some("v1"));
    assert_eq!(resources.namespaces[0].meta.name.value, "default");
}

#[test]
fn the_lists_of_the_api_are_lists_too() {
    let text = PRINTED.replacen("apiVersion: v1\nkind: List", "apiVersion: v1\nkind: PodList", 1);
    assert_eq!(clean(&text).pods.len(), 2);
}

#[test]
fn headless_and_external_services_are_told_apart() {
    let service = |spec: &str| {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {spec}\n");
        clean(&text).services.remove(0)
    };
    let headless = service("{clusterIP: None, clusterIPs: [None], ports: [{port: 80}]}");
    assert!(headless.headless && headless.cluster_ips.is_empty());
    assert_eq!(headless.ports[0].target, TargetPort::Number(80));
    let external = service("{type: ExternalName, externalName: a.example}");
    assert_eq!(
        (external.kind, external.external_name.unwrap().value.as_str()),
        (ServiceType::ExternalName, "a.example")
    );
}

#[test]
fn slices_of_names_are_left_out_and_absent_conditions_count_as_ready() {
    let slice = |rest: &str| {
        format!("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: a}}\n{rest}\n")
    };
    assert_eq!(
        faults(&slice("addressType: FQDN")),
        ["UMB0201 4:14 addressType: names are not resolved: the endpoints of this slice are left out"]
    );
    let resources = clean(&slice("addressType: IPv6\nendpoints: [{addresses: ['fd00::1']}]"));
    let endpoint = &resources.endpoint_slices[0].endpoints[0];
    assert!(endpoint.ready && endpoint.serving && !endpoint.terminating);
}
