//! `umbra match`: what programs read of it stays as it is, what people read of it is readable, and what cannot be answered
//! is refused with a reason. What requests do under which rules is told by the suite `examples`.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    fs,
    io::pipe,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use support::binary;

const RULES: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app, namespace: shop}
spec:
  hosts: [app.shop.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints:
  - {address: 10.0.0.1, labels: {version: v1}}
  - {address: 10.0.0.2, labels: {version: v2}}
  - {address: 10.0.0.3, labels: {version: v3}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app, namespace: shop}
spec:
  host: app
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: v3, labels: {version: v3}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app, namespace: shop}
spec:
  hosts: [app]
  http:
  - name: cart
    match: [{uri: {prefix: /cart}, method: {exact: GET}}, {uri: {regex: '/items/[0-9]+'}}]
    rewrite: {uri: /basket}
    route:
    - {destination: {host: app, subset: v1}, weight: 3}
    - {destination: {host: app, subset: v2}, weight: 1}
    mirror: {host: app, subset: v3}
    mirrorPercentage: {value: 12.5}
  - name: moved
    match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - name: closed
    match: [{uri: {prefix: /admin}}]
    directResponse: {status: 403}
";

/// A file of this text, as long as the folder is kept.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn umbra_match(config: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).args(["match", "-c"]).arg(config).args(arguments).output().unwrap()
}

fn answer(config: &Path, arguments: &[&str]) -> Value {
    let output = umbra_match(config, &[arguments, &["-o", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn programs_find_the_same_names_in_every_release() {
    let (_kept, rules) = file(RULES);
    let answer = answer(&rules, &["GET", "http://app.shop/items/7?page=2"]);
    let host = "app.shop.svc.cluster.local";
    assert_eq!(answer["virtualService"], "shop/app");
    assert_eq!(answer["rule"], 0);
    assert_eq!(answer["ruleName"], "cart");
    assert_eq!(answer["action"], "route");
    assert_eq!(
        answer["primary"],
        json!([
            {"host": host, "subset": "v1", "port": 80, "weight": 3},
            {"host": host, "subset": "v2", "port": 80, "weight": 1},
        ])
    );
    let mirror = &answer["mirrors"][0];
    assert_eq!(
        (&mirror["host"], &mirror["subset"], &mirror["port"], &mirror["percentage"]),
        (&json!(host), &json!("v3"), &json!(80), &json!(12.5))
    );
    assert_eq!(mirror["endpoints"], json!(["10.0.0.3:8080"]));
    assert_eq!(
        answer["trace"],
        json!([
            {"rule": 0, "match": 0, "reason": "uri: prefix `/cart`, but it is `/items/7`"},
            {"rule": 0, "match": 1, "reason": "matched"},
        ])
    );
    let copy = &answer["copies"][0];
    assert_eq!(
        (&copy["method"], &copy["path"], &copy["host"]),
        (&json!("GET"), &json!("/basket?page=2"), &json!("app.shop"))
    );
    assert!(copy["headers"].as_array().unwrap().contains(&json!(["x-umbra-shadow", "1"])), "{copy}");
}

#[test]
fn every_action_has_its_name() {
    let (_kept, rules) = file(RULES);
    for (path, action, rule) in [
        ("/cart", "route", json!(0)),
        ("/old", "redirect", json!(1)),
        ("/admin", "directResponse", json!(2)),
        ("/", "none", json!(null)),
    ] {
        let answer = answer(&rules, &["GET", &format!("http://app.shop{path}")]);
        assert_eq!((&answer["action"], &answer["rule"]), (&json!(action), &rule), "{path}");
    }
}

#[test]
fn a_rule_without_a_match_and_a_mirror_without_a_subset_have_null_there() {
    let plain = RULES.replace(
        "    match: [{uri: {prefix: /cart}, method: {exact: GET}}, {uri: {regex: '/items/[0-9]+'}}]\n",
        "",
    );
    let other = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: next}\nspec: {hosts: [next.test], \
        location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 81, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.9}]}\n";
    let plain = plain.replace("mirror: {host: app, subset: v3}", "mirror: {host: next.test}");
    let (_kept, rules) = file(&format!("{plain}{other}"));
    let answer = answer(&rules, &["GET", "http://app.shop/"]);
    assert_eq!(answer["trace"], json!([{"rule": 0, "match": null, "reason": "matched"}]));
    assert_eq!((&answer["mirrors"][0]["subset"], &answer["mirrors"][0]["port"]), (&json!(null), &json!(81)));
}

#[test]
fn the_client_is_told_by_its_namespace_and_its_labels() {
    let clients = RULES.replace(
        "match: [{uri: {prefix: /cart}, method: {exact: GET}}",
        "match: [{sourceNamespace: web, sourceLabels: {app: front, track: canary}}",
    );
    let known = "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: front, namespace: web}\n\
        spec: {address: 10.0.1.1, labels: {app: front}}\n";
    let (_kept, rules) = file(&format!("{clients}{known}"));
    let rule =
        |flags: &[&str]| answer(&rules, &[flags, &["GET", "http://app.shop/"]].concat())["ruleName"].clone();
    let labels = ["--source-label", "app=front", "--source-label", "track=canary"];
    assert_eq!(rule(&[&labels[..], &["--source-namespace", "web"]].concat()), "cart");
    // Labels alone are those of a client of the namespace `default`.
    for short in [
        &[][..],
        &labels,
        &["--source-namespace", "web"],
        &["--source-namespace", "web", "--source-label", "app=front"],
    ] {
        assert_eq!(rule(short), json!(null), "{short:?}");
    }
}

#[test]
fn the_endpoint_is_one_that_the_rule_routes_to_unless_another_is_named() {
    let (_kept, rules) = file(RULES);
    let cart = ["GET", "http://app.shop/cart"];
    assert_eq!(answer(&rules, &cart)["endpoint"], "10.0.0.1:8080");
    let shadow = answer(&rules, &[&cart[..], &["--to", "10.0.0.3:8080"]].concat());
    assert_eq!((&shadow["endpoint"], &shadow["mirrors"]), (&json!("10.0.0.3:8080"), &json!([])));
    assert_eq!(shadow["unmirrored"], "the rule sends its requests to other endpoints");
}

#[test]
fn people_read_a_table() {
    let (_kept, rules) = file(RULES);
    let output = umbra_match(&rules, &["-H", "Accept: text/html", "GET", "http://app.shop/items/7"]);
    assert_eq!(
        text(&output.stdout),
        "\
GET http://app.shop/items/7
  for app.shop.svc.cluster.local, arriving at 10.0.0.1:8080

VirtualService shop/app
  ✗ http[0].match[0]  uri: prefix `/cart`, but it is `/items/7`
  ✓ http[0].match[1]  matched

rule      cart
primary   app.shop.svc.cluster.local:80 subset v1  weight 3
primary   app.shop.svc.cluster.local:80 subset v2  weight 1
mirror    12.5 % to app.shop.svc.cluster.local:80 subset v3
          at 10.0.0.3:8080
          as GET /basket
             host: app.shop
             accept: text/html
             x-umbra-shadow: 1
"
    );
    let output = umbra_match(&rules, &["POST", "http://app.shop/items"]);
    assert_eq!(
        text(&output.stdout),
        "\
POST http://app.shop/items
  for app.shop.svc.cluster.local, arriving at 10.0.0.1:8080

VirtualService shop/app
  ✗ http[0].match[0]  uri: prefix `/cart`, but it is `/items`
  ✗ http[0].match[1]  uri: regex `/items/[0-9]+`, but it is `/items`
  ✗ http[1].match[0]  uri: prefix `/old`, but it is `/items`
  ✗ http[2].match[0]  uri: prefix `/admin`, but it is `/items`

No rule matches: Istio would answer 404, and nothing is mirrored.
"
    );
}

/// An upgrade, CONNECT and what is a copy already.
#[test]
fn what_is_never_copied_is_told_with_the_reason_that_metrics_have() {
    let (_kept, rules) = file(RULES);
    let cart = "http://app.shop/items/7";
    for (request, reason) in [
        (&["-H", "Upgrade: websocket", "GET", cart][..], "upgrade"),
        (&["CONNECT", cart], "upgrade"),
        (&["-H", "X-Umbra-Shadow: 1", "GET", cart], "marked"),
    ] {
        let answer = answer(&rules, request);
        assert_eq!((&answer["rule"], &answer["copies"]), (&json!(0), &json!([{"dropped": reason}])));
        let told = text(&umbra_match(&rules, request).stdout);
        assert!(
            told.ends_with(&format!("          at 10.0.0.3:8080\n          dropped as `{reason}`\n")),
            "{told}"
        );
    }
    let marker = "---\napiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {name: node}\nspec: {shadow: {markerHeader: x-copy}}\n";
    let (_kept, rules) = file(&format!("{RULES}{marker}"));
    assert_eq!(answer(&rules, &["-H", "x-copy: 1", "GET", cart])["copies"], json!([{"dropped": "marked"}]));
    assert!(answer(&rules, &["-H", "x-umbra-shadow: 1", "GET", cart])["copies"][0]["dropped"].is_null());
}

#[test]
fn files_and_folders_are_read_together() {
    let folder = tempfile::tempdir().unwrap();
    let (services, rules) =
        RULES.split_once("---\napiVersion: networking.istio.io/v1\nkind: VirtualService").unwrap();
    let (below, beside) = (folder.path().join("below"), folder.path().join("rules.yaml"));
    fs::create_dir(&below).unwrap();
    fs::write(below.join("services.yaml"), services).unwrap();
    fs::write(&beside, format!("apiVersion: networking.istio.io/v1\nkind: VirtualService{rules}")).unwrap();
    let arguments = ["--config", beside.to_str().unwrap(), "GET", "http://app.shop/cart", "-o", "json"];
    let answer: Value = serde_json::from_slice(&umbra_match(&below, &arguments).stdout).unwrap();
    assert_eq!(answer["ruleName"], "cart");
}

#[test]
fn what_is_encrypted_is_told_only_where_it_is_read() {
    let (_kept, rules) = file(RULES);
    let output = umbra_match(&rules, &["GET", "https://app.shop/"]);
    assert!(text(&output.stderr).contains("what is encrypted cannot be read"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    let (_kept, rules) = file(RULES);
    let (get, url) = ("GET", "http://app.shop/");
    for (arguments, why) in [
        (&["GET"][..], "<URL>"),
        (&[get, "http://a b/"], "invalid uri character"),
        (&[get, "/cart"], "not of the form http://HOST/PATH"),
        (&[get, "app.shop"], "not of the form http://HOST/PATH"),
        (&[get, "ftp://app.shop/"], "not of the form http://HOST/PATH"),
        (&["G ET", url], "invalid HTTP method"),
        (&["-H", "accept", get, url], "not of the form `name: value`"),
        (&["-H", "x tester: 1", get, url], "`x tester` is no header name"),
        (&["-H", ": 1", get, url], "`` is no header name"),
        (&["-H", "x: 1\r\ny: 2", get, url], "no header may have such a value"),
        (&["--to", "10.0.0.1", get, url], "invalid socket address"),
        (&["--source-label", "app", get, url], "not of the form key=value"),
        (&["-o", "xml", get, url], "possible values: text, json"),
    ] {
        let output = umbra_match(&rules, arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(why) && told.contains("--help"), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    let nothing_read = Command::new(binary()).args(["match", get, url]).output().unwrap();
    assert_eq!(nothing_read.status.code(), Some(2));
    assert!(text(&nothing_read.stderr).contains("--config <PATH>"), "{nothing_read:?}");
}

#[test]
fn what_has_no_answer_exits_with_1_and_says_why() {
    let twice = RULES
        .replace("app.shop.svc.cluster.local]", "app.shop.svc.cluster.local, app.test.svc.cluster.local]");
    let ((_kept, rules), (_kept_too, shared)) = (file(RULES), file(&twice));
    let missing = rules.with_file_name("missing.yaml");
    for (config, arguments, why) in [
        (&rules, &["http://nobody/"][..], "no service with an endpoint and an HTTP port is called `nobody`"),
        (
            &rules,
            &["http://app.shop:9999/cart"],
            "`app.shop.svc.cluster.local` has no port 9999: nothing of it would be captured there; its ports: 80",
        ),
        (&rules, &["--to", "10.0.0.1:80", "http://app.shop/"], "no service has an endpoint at 10.0.0.1:80"),
        (
            &shared,
            &["http://app/"],
            "app.shop.svc.cluster.local, app.test.svc.cluster.local: write the name in full",
        ),
        (&missing, &["http://app.shop/"], "missing.yaml"),
    ] {
        let output = umbra_match(config, &[&["GET"], arguments].concat());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.starts_with("umbra: ") && told.contains(why), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn a_refused_configuration_is_told_with_all_of_its_faults_and_without_its_warnings() {
    let faulty = RULES
        .replace("{value: 12.5}", "{value: 130}")
        .replace("mirror: {host: app, subset: v3}", "mirror: {host: app, subset: v4}")
        .replace("regex: '/items/[0-9]+'", "regex: '/items/('")
        .replace("redirect: {uri: /new}", "redirect: {uri: /new}\n    retries: {attempts: 2}");
    let (_kept, rules) = file(&faulty);
    let output = umbra_match(&rules, &["GET", "http://app.shop/"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for fault in ["error[UMB0106]", "error[UMB0110]", "error[UMB0112]"] {
        assert_eq!(told.matches(fault).count(), 1, "{fault}: {told}");
    }
    assert!(told.contains("rules.yaml:") && told.contains('^'), "each has its place: {told}");
    assert!(!told.contains("warning["), "{told}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (_kept, rules) = file(RULES);
    for output in ["text", "json"] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = Command::new(binary());
        command.args(["match", "-c"]).arg(&rules).args(["-o", output, "GET", "http://app.shop/cart"]);
        let ended = command.stdout(writer).output().unwrap();
        assert_eq!((ended.status.code(), text(&ended.stderr).as_str()), (Some(0), ""), "{output}");
    }
}
