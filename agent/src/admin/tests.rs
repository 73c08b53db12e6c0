use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

use super::*;
use crate::{
    config::{Report, Resources, Sources, read, umbra::AgentConfig},
    observe::{All, Kind, Reading},
    record::{Answer, DropReason, FailReason, Outcome},
};

/// What logs, and never does.
struct Quiet;

impl Log for Quiet {
    fn level(&self) -> String {
        "info".to_owned()
    }

    fn set(&self, level: &str) -> Result<(), String> {
        if level == "debug" { Ok(()) } else { Err("no such level".to_owned()) }
    }
}

/// A window with as many mirrored services as asked for, at both doors.
struct Scene {
    address: std::net::SocketAddr,
    folder: tempfile::TempDir,
    accounts: Arc<Accounts>,
    plane: Arc<Plane>,
    configuration: Arc<Configuration>,
    stop: CancellationToken,
    window: tokio::task::JoinHandle<io::Result<()>>,
}

fn yaml(services: usize) -> String {
    let service = |n: usize| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{n}}}\nspec: {{hosts: [s{n}.test], resolution: \
             STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: 10.0.{}.{}}}]}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s{n}}}\nspec: {{hosts: [s{n}.test], http: [{{name: all, \
             route: [{{destination: {{host: s{n}.test}}}}], mirror: {{host: s0.test}}}}]}}\n---\n",
            n / 256,
            n % 256
        )
    };
    (0..services).map(service).collect()
}

impl Scene {
    async fn new(services: usize) -> Self {
        Self::with(services, Vec::new()).await
    }

    async fn with(services: usize, readings: Vec<Reading>) -> Self {
        let text = yaml(services);
        let (mut resources, mut report, mut sources) =
            (Resources::default(), Report::default(), Sources::default());
        read("a.yaml", &text, &mut resources, &mut report);
        sources.insert("a.yaml", text.as_str());
        let accounts = Arc::new(Accounts::default());
        let snapshot = Arc::new(Snapshot::compile(&resources, &accounts, &mut report));
        assert!(!report.has_errors(), "{report:?}");
        let observers = Arc::new(All::default());
        let agent = AgentConfig::default();
        let plane = Plane::start(&agent.shadow, observers.clone()).unwrap();
        plane.enforce(&snapshot);
        let configuration = Arc::new(Configuration::new(agent, sources, &report));
        let view = View {
            metrics: Metrics::new(&observers.recorder, Arc::clone(&accounts), readings),
            missing: Box::new(Vec::new),
            rules: Box::new(move || Arc::clone(&snapshot)),
            configuration: Arc::clone(&configuration),
            accounts: Arc::clone(&accounts),
            plane: Arc::clone(&plane),
            live: Arc::clone(&observers.live),
            token: None,
            rates: Rates::default(),
            known: Rules::default(),
            namespaces: Box::new(Vec::new),
            cluster: Box::new(|| None),
            mix: Arc::default(),
            pressure: Box::new(|| BTreeMap::from([("memory", false)])),
            log: Arc::new(Quiet),
            started: Instant::now(),
        };
        let folder = tempfile::tempdir().unwrap();
        let socket = Socket::open(&folder.path().join("s")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (listener, socket) = (async { Ok(listener) }, async { Some(socket) });
        let window = tokio::spawn(serve(listener, socket, view, stop.clone().cancelled_owned()));
        Self { address, folder, accounts, plane, configuration, stop, window }
    }

    async fn ask(&self, request: &str) -> (u16, Value) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        exchange(stream, request).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost")).await;
        assert_eq!(status, 200, "{answer:#}");
        answer
    }

    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json");
        self.ask(&format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
            .await
    }

    /// Every item of a list, page by page.
    async fn all(&self, list: &str, limit: usize) -> Vec<Value> {
        let (mut items, mut rest) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{list}?limit={limit}{rest}")).await;
            let found = page["items"].as_array().unwrap();
            assert!(found.len() <= limit);
            items.extend(found.iter().cloned());
            let Some(token) = page["continue"].as_str() else { return items };
            rest = format!("&continue={token}");
        }
    }
}

async fn exchange(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    request: &str,
) -> (u16, Value) {
    let end = if request.contains("\r\n\r\n") { "" } else { "\r\nConnection: close\r\n\r\n" };
    stream.write_all(format!("{request}{end}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| body.into()))
}

#[tokio::test]
async fn a_question_never_finished_does_not_keep_the_window_open() {
    let scene = Scene::new(1).await;
    let mut asking = TcpStream::connect(scene.address).await.unwrap();
    asking.write_all(b"GET /metrics HTTP/1.1").await.unwrap();
    // Answered after the half question was accepted.
    let mut other = TcpStream::connect(scene.address).await.unwrap();
    other.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    other.read_u8().await.unwrap();

    scene.stop.cancel();
    let closed = tokio::time::timeout(Duration::from_secs(10), scene.window).await;
    closed.expect("the window closes").unwrap().unwrap();
    assert!(!scene.folder.path().join("s").exists());
}

/// A scrape that goes on until it is let go: what a very long one is for others.
#[tokio::test]
async fn probes_are_answered_while_a_scrape_is_made_and_scrapes_one_by_one() {
    const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nHost: a";
    let (begun_tx, begun) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let may_go = std::sync::Mutex::new(may_go);
    let read = move || {
        begun_tx.send(()).unwrap();
        may_go.lock().unwrap().recv().unwrap();
        Vec::new()
    };
    let slow = Reading { name: "slow", help: "slow", kind: Kind::Gauge, read: Box::new(read) };
    let scene = Arc::new(Scene::with(1, vec![slow]).await);
    let scrape = || {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { scene.ask(SCRAPE).await })
    };
    let mut left = TcpStream::connect(scene.address).await.unwrap();
    left.write_all(format!("{SCRAPE}\r\n\r\n").as_bytes()).await.unwrap();
    let begun = tokio::task::spawn_blocking(move || {
        begun.recv().unwrap();
        begun
    });
    let begun = begun.await.unwrap();

    // Who asked leaves; what was begun for it still is the one that is made.
    drop(left);
    let others = [scrape(), scrape()];
    for probe in ["/livez", "/readyz"] {
        assert_eq!(scene.ask(&format!("GET {probe} HTTP/1.1\r\nHost: a")).await.0, 200, "{probe}");
        assert!(begun.try_recv().is_err(), "two scrapes are made at once");
    }
    assert!(others.iter().all(|scrape| !scrape.is_finished()));
    (0..3).for_each(|_| go.send(()).unwrap());
    for scrape in others {
        assert_eq!(scrape.await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn lists_come_whole_in_pages_of_any_size() {
    let scene = Scene::new(23).await;
    for (list, count) in [
        ("/api/v1/routes", 23),
        ("/api/v1/mirrors", 23),
        ("/api/v1/endpoints", 24),
        ("/api/v1/config", 46),
        ("/api/v1/traffic", 23),
    ] {
        let all = scene.all(list, 1000).await;
        assert_eq!(all.len(), count, "{list}");
        for limit in [1, 7] {
            let paged = scene.all(list, limit).await;
            let steady = |items: &[Value]| -> Vec<Value> {
                items.iter().map(|item| item.get("id").unwrap_or(item).clone()).collect()
            };
            assert_eq!(steady(&paged), steady(&all), "{list} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_mirror_shows_its_books_and_what_went_wrong_last() {
    let scene = Scene::new(1).await;
    let account = &scene.accounts.all()[0];
    account.offer().settle(Outcome::Completed { status: 200 });
    account.offer().settle(Outcome::Dropped(DropReason::QueueFull));
    let failed = Outcome::Failed(FailReason::Connect);
    account.note(failed, Some(([10, 0, 0, 9], 80).into()), Some("cannot connect".into()));
    account.offer().settle(failed);
    account.offer().sampled_out();

    let mut found = scene.get("/api/v1/mirrors").await["items"][0].take();
    assert!(found["lastError"]["ageSeconds"].as_f64().unwrap() < 60.0);
    found["lastError"]["ageSeconds"].take();
    found["perSecond"].take();
    let expected = json!({
        "id": "default/s0 all s0.test:80", "virtualService": "default/s0", "rule": "all", "mirror": "s0.test:80",
        "inForce": true, "paused": false, "expired": false, "percentage": 100.0, "inForcePercentage": 100.0, "kinds": null, "drawnFor": "request", "offered": 4, "completed": 1,
        "failed": {"connect": 1}, "dropped": {"queue_full": 1}, "lost": 2, "sampledOut": 1, "inFlight": 0, "perSecond": null,
        "endpointCount": 1, "endpoints": ["10.0.0.0:80"],
        "lastError": {"outcome": "failed", "reason": "connect", "endpoint": "10.0.0.9:80", "message": "cannot connect", "ageSeconds": null},
    });
    assert_eq!(found, expected);
}

#[tokio::test]
async fn traffic_shows_primary_and_shadow_side_by_side() {
    let scene = Scene::new(2).await;
    let (rule, account) = (&scene.accounts.rules()[1], &scene.accounts.all()[1]);
    let answer = |status, ms| Answer {
        status,
        failed: Answer::is_failure(status, None),
        request_bytes: 100,
        response_bytes: 1000,
        took: Some(Duration::from_millis(ms)),
    };
    rule.count(&answer(200, 1));
    rule.count(&answer(404, 1));
    account.count(&answer(503, 2));
    account.offer().settle(Outcome::Completed { status: 503 });
    account.offer().sampled_out();

    let traffic = scene.get("/api/v1/traffic").await;
    assert!(traffic["time"].as_u64().unwrap() > 1_700_000_000_000 && traffic["allPaused"] == false);
    let expected = json!({
        "id": "default/s1 all", "virtualService": "default/s1", "rule": "all", "inForce": true,
        "services": ["s1.test"], "primaries": [{"host": "s1.test", "subset": null, "port": 80, "weight": 100}],
        "primary": {
            "requests": 2, "statuses": {"2xx": 1, "4xx": 1}, "failures": 0, "requestBytes": 200, "responseBytes": 2000,
            "latencyMicros": [[1024, 2]],
        },
        "mirrors": [{
            "id": "default/s1 all s0.test:80", "mirror": "s0.test:80", "inForce": true, "paused": false, "expired": false,
            "percentage": 100.0, "inForcePercentage": 100.0, "offered": 2, "completed": 1, "failed": {}, "dropped": {},
            "lost": 0, "sampledOut": 1, "inFlight": 0, "grpcStatuses": {},
            "shadow": {
                "requests": 1, "statuses": {"5xx": 1}, "failures": 1, "requestBytes": 100, "responseBytes": 1000,
                "latencyMicros": [[2048, 1]],
            },
        }],
    });
    assert_eq!(traffic["items"][1], expected);
    let none = json!({"requests": 0, "statuses": {}, "failures": 0, "requestBytes": 0, "responseBytes": 0, "latencyMicros": []});
    assert_eq!((&traffic["items"][0]["primary"], traffic["items"].as_array().unwrap().len()), (&none, 2));
}

#[tokio::test]
async fn the_configuration_shows_defaults_and_the_last_refusal() {
    let scene = Scene::new(1).await;
    let found = scene.get("/api/v1/config").await;
    assert_eq!(found["agent"]["spec"]["admin"]["socket"], "/run/umbra/admin.sock");
    assert_eq!(
        (&found["items"][0]["file"], &found["items"][0]["resource"]["kind"]),
        (&json!("a.yaml"), &json!("ServiceEntry"))
    );
    assert_eq!(found["refused"], Value::Null);

    let mut report = Report::default();
    read("b.yaml", &"kind: Nonsense\n---\n".repeat(300), &mut Resources::default(), &mut report);
    scene.configuration.refused(&report);
    let refused = scene.get("/api/v1/config").await["refused"].take();
    assert_eq!(
        (refused["errors"].as_u64(), refused["diagnostics"].as_array().unwrap().len()),
        (Some(300), 100)
    );
    assert_eq!(refused["diagnostics"][0]["code"], "UMB0102");
    let told = scene.get("/api/v1/status").await["configuration"].take();
    assert_eq!(
        (&told["refused"]["errors"], &told["refused"]["first"]["file"]),
        (&json!(300), &json!("b.yaml"))
    );
    assert!(scene.configuration.is_refused());
    assert_eq!(scene.configuration.reloads(), [("applied", 0), ("refused", 1)]);

    scene.configuration.accepted(AgentConfig::default(), Sources::default(), &Report::default());
    let found = scene.get("/api/v1/config").await;
    assert_eq!((&found["refused"], &found["items"]), (&Value::Null, &json!([])));
    assert_eq!(scene.get("/api/v1/status").await["configuration"]["refused"], Value::Null);
    assert!(!scene.configuration.is_refused());
    assert_eq!(scene.configuration.reloads(), [("applied", 1), ("refused", 1)]);
}

#[tokio::test]
async fn switches_can_be_turned_twice_and_by_name() {
    let scene = Scene::new(2).await;
    let one = r#"{"mirrors": ["default/s0"]}"#;
    for (path, body, changed, all_paused, paused) in [
        ("/api/v1/pause", one, 1, false, [true, false]),
        ("/api/v1/pause", one, 0, false, [true, false]),
        ("/api/v1/pause", r#"{"all": true}"#, 1, true, [true, true]),
        ("/api/v1/resume", one, 1, true, [true, true]),
        ("/api/v1/pause", r#"{"mirror": "default/s0 all s0.test:80"}"#, 1, true, [true, true]),
        ("/api/v1/resume", r#"{"all": true}"#, 2, false, [false, false]),
        ("/api/v1/resume", r#"{"all": true}"#, 0, false, [false, false]),
    ] {
        let (status, answer) = scene.post(path, body).await;
        assert_eq!((status, answer["changed"].as_u64()), (200, Some(changed)), "{path} {body}: {answer:#}");
        assert_eq!(answer["allPaused"], all_paused, "{path} {body}");
        let mirrors = scene.get("/api/v1/mirrors").await;
        assert_eq!([0, 1].map(|n: usize| mirrors["items"][n]["paused"] == true), paused, "{path} {body}");
    }
    assert!(!scene.plane.is_paused());
}

#[tokio::test]
async fn what_cannot_be_done_says_what_and_the_next_step() {
    let scene = Scene::new(1).await;
    for (path, body, status) in [
        ("/api/v1/pause", r#"{"mirrors": ["default/s1"]}"#, 404),
        ("/api/v1/pause", "{}", 400),
        ("/api/v1/pause", r#"{"all": true, "mirror": "x"}"#, 400),
        ("/api/v1/pause", r#"{"mirror": "#, 400),
        ("/api/v1/pause", r#"{"evrything": true}"#, 400),
        ("/api/v1/mirrors", "{}", 405),
        ("/api/v1/pauses", "{}", 404),
        ("/api/v1/pause?dryRun=true", r#"{"all": true}"#, 400),
    ] {
        let (found, problem) = scene.post(path, body).await;
        assert_eq!(found, status, "{path} {body}: {problem:#}");
        assert_eq!(problem["status"], status, "{path} {body}: {problem:#}");
        assert!(problem["detail"].is_string() && problem["hint"].is_string(), "{problem:#}");
    }
    for (path, status, known) in [
        ("/api/v1/mirrors?page=2", 400, "limit and continue"),
        ("/api/v1/status?verbose", 400, "none"),
        ("/api/v1/mirror", 404, "/log, /mirrors, "),
        ("/metric", 404, "/metrics"),
    ] {
        let (found, problem) = scene.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost")).await;
        assert_eq!(found, status, "{path}: {problem:#}");
        assert!(problem["hint"].as_str().unwrap().contains(known), "{path}: {problem:#}");
    }
    let (status, _) = scene.post("/api/v1/pause", &" ".repeat(100_000)).await;
    assert_eq!(status, 413);
    assert_eq!(scene.ask("GET /api/v1/pause HTTP/1.1\r\nHost: localhost").await.0, 405);
    assert_eq!(scene.ask("GET /api/v1/mirrors HTTP/1.1\r\nHost: evil.example").await.0, 421);
    // Probes and scrapers come by any name.
    assert_eq!(scene.ask("GET /metrics HTTP/1.1\r\nHost: node-1").await.0, 200);
    assert!(!scene.plane.is_paused());
}

#[test]
fn every_path_is_described_and_no_other() {
    let described: Value = serde_saphyr::from_str(openapi::TEXT).unwrap();
    let described: BTreeSet<_> = described["paths"].as_object().unwrap().keys().cloned().collect();
    let api = api().into_iter().map(|(path, _)| format!("/api/v1{path}"));
    let there: BTreeSet<_> = probes().into_iter().map(|(path, _)| path.to_owned()).chain(api).collect();
    assert_eq!(there, described);
}

#[tokio::test]
async fn the_socket_answers_whatever_the_host() {
    let scene = Scene::new(1).await;
    let socket = || UnixStream::connect(scene.folder.path().join("s"));
    let (status, found) =
        exchange(socket().await.unwrap(), "GET /api/v1/mirrors HTTP/1.1\r\nHost: umbra").await;
    assert_eq!((status, &found["items"][0]["rule"]), (200, &json!("all")));
    let form = "POST /api/v1/pause HTTP/1.1\r\nHost: umbra\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(socket().await.unwrap(), form).await.0, 415);
}
