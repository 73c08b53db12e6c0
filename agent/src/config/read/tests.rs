use std::{collections::BTreeMap, path::Path};

use super::*;
use crate::config::testing::{clean, cost, each_has, faults, read_text, render};

/// The example of the design; its text must keep working.
const EXAMPLE: &str = include_str!("../../../../config/examples/mirror-percentage.yaml");

#[test]
fn the_example_reads_as_it_is_meant() {
    let resources = clean(EXAMPLE);
    let agent = resources.agent.expect("an AgentConfig");
    assert_eq!(agent.capture.inbound[0].netns.value, umbra::NetnsRef::Path("/run/netns/app-v1".into()));
    assert_eq!(agent.capture.exempt, ["10.98.9.0/24".parse().unwrap()]);
    let [entry] = &resources.service_entries[..] else { panic!("one ServiceEntry") };
    assert_eq!((entry.ports[0].number.value, entry.ports[0].target_port), (80, 8080));
    assert_eq!(entry.resolution.value, istio::Resolution::Static);
    assert_eq!(entry.endpoints[1].labels.get("version"), Some("v2"));
    let [rule] = &resources.destination_rules[..] else { panic!("one DestinationRule") };
    assert_eq!(&*rule.subsets[1].name.value, "v2");
    let [service] = &resources.virtual_services[..] else { panic!("one VirtualService") };
    assert_eq!(service.meta.qualified(), "default/my-app");
    let http = &service.http[0];
    assert_eq!(http.mirror.as_ref().and_then(|mirror| mirror.subset.as_ref()).unwrap().value, "v2");
    assert_eq!(
        http.mirror_percentage.as_ref().and_then(|percent| percent.value.as_ref()).unwrap().value,
        50.0
    );
}

#[test]
fn every_shipped_file_reads_without_fault_or_with_the_warnings_it_is_about() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let yaml = |directory: &Path| {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect::<Vec<_>>()
    };
    let mut files = [yaml(&shipped), yaml(&shipped.join("examples"))].concat();
    // Describes the admin API, and is no configuration.
    files.retain(|path| !path.ends_with("openapi.yaml"));
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (_, report) = read_text(&text);
        let mut found = BTreeMap::new();
        report.diagnostics.iter().for_each(|fault| *found.entry(fault.code.as_str()).or_insert(0) += 1);
        let expected: &[(&str, i32)] = match file.file_name().unwrap().to_str().unwrap() {
            "cors.yaml" => &[("UMB0201", 3), ("UMB0202", 1)],
            "every-match.yaml" | "faults.yaml" | "retries.yaml" => &[("UMB0201", 1)],
            "rewrites.yaml" | "tls-and-tcp.yaml" | "shadow-policy.yaml" => &[("UMB0201", 2)],
            "weights.yaml" => &[("UMB0202", 1)],
            "percentages.yaml" => &[("UMB0202", 3)],
            "workloads.yaml" => &[("UMB0201", 2)],
            "service-entries.yaml" => &[("UMB0201", 3)],
            "grpc-route.yaml" => &[("UMB0201", 6)],
            "http-route.yaml" => &[("UMB0201", 9)],
            "traffic-policy.yaml" => &[("UMB0201", 17), ("UMB0202", 2)],
            _ => &[],
        };
        assert_eq!(
            found,
            expected.iter().copied().collect(),
            "{}\n{}",
            file.display(),
            render(&text, &report)
        );
    }
}

#[test]
fn the_shipped_agent_yaml_shows_every_default() {
    let text = include_str!("../../../../config/agent.yaml");
    let mut written = clean(text).agent.expect("an AgentConfig");
    written.meta = None;
    assert_eq!(format!("{written:#?}"), format!("{:#?}", umbra::AgentConfig::default()));
    for key in [
        "workers",
        "drainTimeout",
        "admin",
        "address",
        "capture",
        "inbound",
        "direct",
        "exempt",
        "exemptNode",
        "criSocket",
        "clientAddress",
        "shadow",
        "nice",
        "timeout",
        "connectTimeout",
        "connectionsPerEndpoint",
        "markerHeader",
        "queue",
        "requests",
        "bytes",
        "bytesPerRequest",
    ] {
        assert!(
            text.lines().any(|line| line.trim_start().starts_with(&format!("{key}:"))),
            "{key} is not shown"
        );
    }
}

#[test]
fn faults_look_like_a_compilers() {
    let text = EXAMPLE.replace("value: 50", "value: 130").replace("nice: 10", "niece: 10");
    let (_, report) = read_text(&text);
    assert_eq!(
        render(&text, &report),
        "\
error[UMB0105]: AgentConfig default/node: spec.shadow.niece: no such field
  --> t.yaml:12:24
   |
12 |   shadow: {workers: 1, niece: 10, timeout: 15s, queue: {requests: 4096, bytes: 64Mi}}
   |                        ^
   = help: did you mean `nice`?

error[UMB0106]: VirtualService default/my-app: spec.http[0].mirrorPercentage.value: 130 is not within 0..=100
  --> t.yaml:42:31
   |
42 |     mirrorPercentage: {value: 130}
   |                               ^

"
    );
    assert_eq!(
        report.to_json()[1],
        serde_json::json!({
            "code": "UMB0106", "severity": "error", "file": "t.yaml", "line": 42, "column": 31,
            "object": "VirtualService default/my-app",
            "message": "spec.http[0].mirrorPercentage.value: 130 is not within 0..=100", "hint": null,
        })
    );
    assert_eq!((report.errors(), report.warnings()), (2, 0));
}

#[test]
fn long_lines_are_cut_and_control_characters_stay_off_the_terminal() {
    let text = format!("{}{{a: 1, \"\\e[2J\": '\u{85}', a: 2}}", " ".repeat(200));
    let (_, report) = read_text(&text);
    let shown = render(&text, &report);
    assert!(shown.lines().all(|line| line.len() < 130), "{shown}");
    assert!(!shown.contains('\u{85}'), "{shown:?}");
    let caret = shown.lines().find(|line| line.ends_with('^')).unwrap().len() - 1;
    assert_eq!(&shown.lines().nth(3).unwrap()[caret..=caret], "a", "{shown}");
}

#[test]
fn what_is_no_known_object_is_named() {
    for (text, expected) in [
        (
            "- a\n",
            "UMB0102 1:1 not an object (a document is a map with apiVersion, kind, metadata and \
         spec)",
        ),
        (
            "a: 1\n",
            "UMB0102 1:1 an object without a kind (a document has apiVersion, kind, metadata and spec)",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\n",
            "UMB0210 2:7 kind: `ConfigMap` is not a kind known here: left unread",
        ),
        (
            "apiVersion: v1\nkind: DestinationRules\n",
            "UMB0102 2:7 kind: `DestinationRules` is not a kind known here (did you mean DestinationRule?)",
        ),
        (
            "apiVersion: networking.istio.io/v2\nkind: VirtualService\n",
            "UMB0102 1:13 apiVersion: VirtualService of networking.istio.io/v2 is not known \
             (VirtualService is read as \
             networking.istio.io/v1, networking.istio.io/v1beta1, networking.istio.io/v1alpha3)",
        ),
        (
            "kind: AgentConfig\n",
            "UMB0102 1:1 an object without an apiVersion (AgentConfig is read as umbra.dev/v1alpha1)",
        ),
        (
            "apiVersion: 1\nkind: List\n",
            "UMB0103 1:13 apiVersion: 1 where text is wanted (quote it: \
         \"1\")",
        ),
    ] {
        assert_eq!(faults(text), [expected], "{text}");
    }
}

#[test]
fn metadata_needs_a_name_and_keeps_what_has_meaning() {
    let head = "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\n";
    for (rest, expected) in [
        ("", "UMB0104 1:1 metadata: is required"),
        ("metadata: {}\n", "UMB0104 3:11 metadata.name: is required"),
        ("metadata: {name: ''}\n", "UMB0104 3:18 metadata.name: is empty"),
        ("metadata: {name: 7}\n", "UMB0103 3:18 metadata.name: 7 where text is wanted (quote it: \"7\")"),
        (
            "metadata: {name: a, labels: {v: 1.10}}\n",
            "UMB0103 3:33 metadata.labels[v]: 1.10 where text is wanted (quote it: \"1.10\")",
        ),
        ("metadata: {name: a}\nspecs: {}\n", "UMB0105 4:1 specs: no such field (did you mean `spec`?)"),
        ("metadata: {name: a}\nspec: []\n", "UMB0103 4:7 spec: a list where a map is wanted"),
    ] {
        assert_eq!(faults(&format!("{head}{rest}")), [expected], "{rest}");
    }
    let meta = clean(&format!(
        "{head}metadata:\n  name: a\n  namespace: shop\n  labels: {{v: '1'}}\n  creationTimestamp: \
         2026-01-02T03:04:05Z\n  \
         annotations: {{b: c}}\n  uid: x\nstatus: {{d: 1}}\n"
    ));
    let meta = meta.agent.and_then(|agent| agent.meta).unwrap();
    assert_eq!(meta.qualified(), "shop/a");
    assert_eq!(meta.created.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(meta.labels.get("v"), Some("1"));
}

#[test]
fn a_list_gives_its_items_and_names_are_taken_once_over_all_sources() {
    let rule = |name: &str| {
        format!(
            "apiVersion: networking.istio.io/v1beta1\nkind: DestinationRule\nmetadata: {{name: \
             {name}}}\nspec: {{host: h}}\n"
        )
    };
    let listed = |name| format!("- {}", rule(name).trim_end().replace('\n', "\n  "));
    let list = format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{}\n{}\n",
        listed("a"),
        listed("b")
    );
    let (mut resources, mut report) = (Resources::default(), Report::default());
    read("one.yaml", &list, &mut resources, &mut report);
    read("two.yaml", &rule("c"), &mut resources, &mut report);
    assert!(report.diagnostics.is_empty(), "{report:?}");
    read("three.yaml", &rule("b"), &mut resources, &mut report);
    let names: Vec<_> = resources.destination_rules.iter().map(|rule| rule.meta.qualified()).collect();
    assert_eq!(names, ["default/a", "default/b", "default/c"]);
    let [fault] = &report.diagnostics[..] else { panic!("{report:?}") };
    assert_eq!((fault.code, fault.at.to_string().as_str()), (Code::Duplicate, "three.yaml:3:18"));
    assert_eq!(fault.object.as_deref(), Some("DestinationRule default/b"));
    assert_eq!(fault.hint.as_deref(), Some("the other one is at one.yaml:11:20"));
}

#[test]
fn there_is_one_agent() {
    let agent = |name| {
        format!("apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: {name}}}\n---\n")
    };
    let expected = "UMB0107 7:18 metadata.name: a second AgentConfig (the other one is at t.yaml:3:18)";
    assert_eq!(faults(&(agent("a") + &agent("b"))), [expected]);
}

#[test]
fn every_fault_is_reported_not_only_the_first() {
    each_has(
        "VirtualService",
        &[(
            "hosts: [a, 7]\nhttp:\n- mirror: {subset: b}\n  mirrorPercentage: {value: -1}\n  timout: 3s\n",
            "UMB0103 5:14 spec.hosts[1]: 7 where text is wanted (quote it: \"7\")\n\
             UMB0104 7:13 spec.http[0].mirror.host: is required\n\
             UMB0106 8:31 spec.http[0].mirrorPercentage.value: -1 is not within 0..=100\n\
             UMB0104 7:5 spec.http[0]: a rule needs `route`, `redirect` or `directResponse` (a rule that only mirrors \
             still says where its requests go: `route: [{destination: {host: …}}]`)\n\
             UMB0201 9:5 spec.http[0].timout: not a field known here: no effect (did you mean `timeout`?)",
        )],
    );
}

#[test]
fn a_hundred_thousand_strange_keys_and_names_end_soon() {
    let keys: String = (0..100_000).map(|n| format!("  hostz{n}: 1\n")).collect();
    let subsets: String = (0..60_000).map(|n| format!("  - {{name: a{n}}}\n")).collect();
    let head = |kind: &str| {
        format!("apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n")
    };
    let rule =
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec: {host: a}\nmetadata: {name: a";
    for (what, text) in [
        ("keys", format!("{}{keys}", head("VirtualService"))),
        ("subsets", format!("{}  host: a\n  subsets:\n{subsets}", head("DestinationRule"))),
        ("objects", (0..4_000).map(|n| format!("{rule}{n}}}\n---\n")).collect()),
    ] {
        let mut report = Report::default();
        let took = cost(|| report = read_text(&text).1);
        assert!(report.diagnostics.len() <= 100_002, "{what}");
        // A second as shipped; ten times that without optimisation.
        let limit = if cfg!(debug_assertions) { 10 } else { 1 };
        assert!(took.as_secs_f64() < f64::from(limit), "{what} took {took:?}");
    }
}
