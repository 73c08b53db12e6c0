use std::net::SocketAddr;

use super::*;
use crate::{
    observe::Format,
    record::{
        Account, DropReason, Ending, FailReason, GrpcStatus, MirrorKey, Outcome, RuleKey, Serving, Trace,
        Workload,
    },
};

fn workload(version: &'static str) -> Arc<Workload> {
    let label = |name: &str| match name {
        "app" => Some("my-app"),
        "version" => Some(version),
        _ => None,
    };
    Arc::new(Workload::new(Some("my-app-deployment"), "shop", label))
}

fn served(version: &'static str) -> Arc<Serving> {
    let service = "my-app.shop.svc.cluster.local".into();
    Arc::new(Serving { service, namespace: "shop".into(), workload: workload(version) })
}

fn primary() -> Exchange {
    Exchange {
        client: SocketAddr::from(([10, 0, 0, 9], 999)),
        destination: SocketAddr::from(([10, 0, 0, 1], 80)),
        source: Some(workload("v7")),
        served: Some(served("v1")),
        rule: None,
        version: http::Version::HTTP_11,
        encrypted: false,
        is_grpc: false,
        status: 200,
        grpc_status: None,
        ending: Ending::Complete,
        request_bytes: 400,
        response_bytes: 2,
        started: Instant::now(),
        answered: None,
        duration: Duration::from_micros(12_500),
        trace: None,
        text: None,
        mirrors: 0,
        copies: 0,
    }
}

fn copy(outcome: Outcome, status: u16, sent: bool) -> ShadowOutcome {
    let rule = Arc::new(RuleKey { virtual_service: "shop/my-app".into(), rule: "all".into() });
    ShadowOutcome {
        mirror: Arc::new(Account::new(MirrorKey { rule, mirror: "my-app:80/v2".into() })),
        client: SocketAddr::from(([10, 0, 0, 9], 999)),
        source: Some(workload("v7")),
        served: Some(served("v2")),
        endpoint: None,
        outcome,
        why: None,
        version: None,
        is_grpc: false,
        status,
        grpc_status: None,
        request_bytes: 400,
        response_bytes: 2,
        offered: Instant::now(),
        sent: sent.then_some(Duration::from_millis(90)),
        answered: None,
        duration: Duration::from_millis(100),
        trace: None,
        text: None,
    }
}

fn text(istio: &Istio, format: Format) -> String {
    let mut text = String::new();
    istio.write(&mut text, format);
    text
}

/// The requests counted, each as `reporter version code flags count`.
fn counted(istio: &Istio) -> Vec<String> {
    let text = text(istio, Format::Classic);
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let told = |line: &str| {
        let labels = ["{reporter", "destination_version", "response_code", "response_flags"];
        let count = line.rsplit_once(' ').unwrap().1;
        format!("{} {count}", labels.map(|name| label(line, name)).join(" "))
    };
    text.lines().filter(|line| line.starts_with("istio_requests_total{")).map(told).collect()
}

#[test]
fn a_primary_is_told_of_by_its_destination_in_istios_words() {
    let istio = Istio::default();
    istio.primary(&primary());
    let source = "source_workload=\"my-app-deployment\",source_workload_namespace=\"shop\",source_principal=\"unknown\",\
        source_app=\"my-app\",source_version=\"v7\",source_cluster=\"unknown\",source_canonical_service=\"my-app\",\
        source_canonical_revision=\"v7\"";
    let destination = source.replace("source_", "destination_").replace("v7", "v1");
    let labels = format!(
        "reporter=\"destination\",{source},{destination},destination_service=\"my-app.shop.svc.cluster.local\",\
         destination_service_name=\"my-app\",destination_service_namespace=\"shop\",request_protocol=\"http\",\
         response_code=\"200\",grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"none\""
    );

    let text = text(&istio, Format::Classic);

    for line in [
        "# TYPE istio_requests_total counter".to_owned(),
        format!("istio_requests_total{{{labels}}} 1"),
        format!("istio_request_duration_milliseconds_bucket{{{labels},le=\"10\"}} 0"),
        format!("istio_request_duration_milliseconds_bucket{{{labels},le=\"25\"}} 1"),
        format!("istio_request_duration_milliseconds_bucket{{{labels},le=\"+Inf\"}} 1"),
        format!("istio_request_duration_milliseconds_sum{{{labels}}} 12.5"),
        format!("istio_request_bytes_bucket{{{labels},le=\"250\"}} 0"),
        format!("istio_request_bytes_bucket{{{labels},le=\"500\"}} 1"),
        format!("istio_response_bytes_sum{{{labels}}} 2"),
        format!("istio_response_bytes_count{{{labels}}} 1"),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn who_is_not_known_is_unknown() {
    let istio = Istio::default();
    istio.primary(&Exchange { source: None, served: None, ..primary() });
    let text = text(&istio, Format::Classic);
    for label in [
        "source_workload=\"unknown\"",
        "source_workload_namespace=\"unknown\"",
        "source_canonical_revision=\"latest\"",
        "destination_version=\"unknown\"",
        "destination_service=\"unknown\"",
        "destination_service_namespace=\"unknown\"",
    ] {
        assert!(text.contains(label), "{label} is missing in\n{text}");
    }
}

#[test]
fn what_became_of_a_request_is_said_as_a_sidecar_would() {
    let istio = Istio::default();
    for (status, ending) in [
        (200, Ending::Complete),
        (404, Ending::Complete),
        (0, Ending::Client),
        (0, Ending::App),
        (200, Ending::App),
        (999, Ending::Complete),
    ] {
        istio.primary(&Exchange { status, ending, ..primary() });
    }
    let expected = ["200 - 1", "200 UC 1", "404 - 1", "503 UC 1", "0 - 1", "0 DC 1"];
    let mut expected = expected.map(|end| format!("destination v1 {end}")).to_vec();
    expected.sort();
    let mut found = counted(&istio);
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_copy_counts_if_a_shadow_was_tried_for_it() {
    let istio = Istio::default();
    for (outcome, status, sent, expected) in [
        (Outcome::Completed { status: 201 }, 201, true, Some("201 -")),
        (Outcome::Failed(FailReason::Connect), 0, false, Some("503 UF")),
        (Outcome::Failed(FailReason::Tls), 0, false, Some("503 UF")),
        (Outcome::Failed(FailReason::Dns), 0, false, Some("503 UH")),
        (Outcome::Failed(FailReason::Timeout), 0, true, Some("504 UT")),
        (Outcome::Failed(FailReason::Timeout), 200, true, Some("200 UT")),
        (Outcome::Failed(FailReason::Reset), 0, true, Some("503 UC")),
        (Outcome::Failed(FailReason::Protocol), 0, true, Some("502 UPE")),
        (Outcome::Failed(FailReason::Internal), 0, false, None),
        (Outcome::Dropped(DropReason::QueueFull), 0, false, None),
        (Outcome::Dropped(DropReason::BodyTooSlow), 0, true, Some("0 DC")),
    ] {
        let before = counted(&istio);
        istio.copy(&copy(outcome, status, sent));
        let mut new = counted(&istio);
        new.retain(|line| !before.contains(line));
        let expected: Vec<_> = expected.map(|end| format!("source v2 {end} 1")).into_iter().collect();
        // Two failures to connect are one series.
        let twice = expected.iter().map(|it| it.replace("UF 1", "UF 2")).collect::<Vec<_>>();
        assert!(new == expected || new == twice, "{outcome:?}: {new:?}");
    }
    // From where a connection took it: 10 of its 100 milliseconds.
    let within_ten = text(&istio, Format::Classic);
    let line = within_ten
        .lines()
        .find(|line| line.contains("duration") && line.contains("\"201\"") && line.contains("le=\"10\""));
    assert!(line.unwrap().ends_with(" 1"), "{line:?}");
}

#[test]
fn a_reload_that_makes_the_same_workloads_anew_makes_no_series() {
    let istio = Istio::default();
    for _ in 0..3 {
        istio.primary(&primary());
    }
    assert_eq!(counted(&istio), ["destination v1 200 - 3"]);
    istio.primary(&Exchange { served: Some(served("v3")), ..primary() });
    assert_eq!(counted(&istio), ["destination v1 200 - 3", "destination v3 200 - 1"]);
    assert_eq!(istio.collapsed(), 0);
}

#[test]
fn without_room_requests_are_counted_under_less_and_none_is_lost() {
    let istio = Istio::with_room_for(4);
    for status in 200..300 {
        istio.primary(&Exchange { status, ..primary() });
        istio.primary(&Exchange { status, ..primary() });
    }
    let found = counted(&istio);
    assert_eq!(found.len(), 7, "{found:?}");
    assert!(found.contains(&"destination unknown 200 - 188".to_owned()), "{found:?}");
    assert_eq!(istio.collapsed(), 192);
    assert_eq!(text(&istio, Format::Classic).matches("istio_requests_total{").count(), 7);
}

#[test]
fn sets_of_labels_without_requests_make_room_after_an_hour() {
    let istio = Istio::with_room_for(4);
    let status = |status| istio.primary(&Exchange { status, ..primary() });
    (200..204).for_each(status);
    let now = Instant::now();
    istio.make_room(now);
    status(200);
    istio.make_room(now + IDLE / 2);
    istio.make_room(now + IDLE);

    assert_eq!(counted(&istio), ["destination v1 200 - 2"]);
    (200..204).for_each(status);
    assert_eq!(counted(&istio).len(), 4, "they come back");
    assert_eq!(istio.collapsed(), 0);
}

#[test]
fn a_traced_request_is_an_example_of_its_bucket() {
    let istio = Istio::default();
    let trace = |flags| Trace::parse(format!("00-{}-00f067aa0ba902b7-{flags}", "4b".repeat(16)).as_bytes());
    istio.primary(&Exchange { trace: trace("00"), ..primary() });
    assert!(!text(&istio, Format::OpenMetrics).contains("trace_id"), "nobody keeps its spans");
    istio.primary(&Exchange { trace: trace("01"), ..primary() });

    let open = text(&istio, Format::OpenMetrics);
    let with: Vec<_> = open.lines().filter(|line| line.contains("trace_id")).collect();
    let [line] = with[..] else { panic!("{with:?}") };
    assert!(line.contains("le=\"25.0\"} 2 # {trace_id=\"4b4b4b4b"), "{line}");
    assert!(line.contains("} 12.5 "), "{line}");
    assert!(!text(&istio, Format::Classic).contains("trace_id"), "the classic format has none");
}

#[test]
fn calls_of_grpc_are_told_apart_by_their_status() {
    let istio = Istio::default();
    let call = |grpc_status| Exchange { is_grpc: true, grpc_status, ..primary() };
    istio.primary(&call(Some(GrpcStatus::parse(b"14"))));
    istio.primary(&call(None));
    let text = text(&istio, Format::Classic);
    for labels in ["grpc_response_status=\"14\"", "grpc_response_status=\"\""] {
        let labels = format!("request_protocol=\"grpc\",response_code=\"200\",{labels}");
        assert!(text.contains(&labels), "{labels} is missing in\n{text}");
    }
}
