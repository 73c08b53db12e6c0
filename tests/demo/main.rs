//! `cargo xtask demo`: a mirrored request on this machine, with a real kernel, real servers and a real client, told
//! to a person. Ends with failure when something did not go as promised.

mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use http::Method;
use support::{Agent, Interrupt, Page, Received, Reply};
use world::{HOST, World};

/// Requests that are shown one by one, and in all.
const SHOWN: usize = 10;
const ALL: usize = 1000;
const CLIENTS: usize = 4;
const ID: &str = "x-request-id";

fn main() -> Result<ExitCode> {
    let keep = std::env::args().any(|argument| argument == "--keep");
    // The parts of the test support fail by panicking: here their message is enough.
    panic::set_hook(Box::new(|panic| {
        println!("\n✗ {}", panic.payload_as_str().unwrap_or("the demonstration failed"));
    }));
    let interrupt = Interrupt::watch()?;
    let mut page = Page::on_stdout();
    match panic::catch_unwind(panic::AssertUnwindSafe(|| show(&mut page, &interrupt, keep))) {
        Ok(Ok(())) if page.all_kept() => Ok(ExitCode::SUCCESS),
        Ok(Err(interrupted)) => {
            println!("\n{interrupted}; everything was cleaned up");
            Ok(ExitCode::from(130))
        }
        _ => Ok(ExitCode::FAILURE),
    }
}

fn show(page: &mut Page, interrupt: &Interrupt, keep: bool) -> Result<()> {
    let world = World::new();
    introduce(page, &world);
    interrupt.check()?;

    let mut agent = world.start_agent();
    page.heading("The agent is ready");
    page.aside(&format!("umbra run --config {}   (pid {})", agent.config_path().display(), agent.pid()));
    interrupt.check()?;

    mirrored(page, &world, &agent, interrupt)?;
    interrupt.check()?;

    killed(page, &world, &mut agent);
    interrupt.check()?;

    if keep {
        let agent = world.start_agent();
        stay(page, &world, &agent);
        interrupt.wait();
    }
    Ok(())
}

fn introduce(page: &Page, world: &World) {
    let (client, v1, v2) = (world.client_address(), world.v1.address(), world.v2.address());
    page.heading("Three network namespaces on this machine");
    let from = format!("client {client}");
    page.line(&format!("{from} ──▶ v1 {v1}   the primary: answers every request"));
    page.line(&format!("{:1$} ┄┄▶ v2 {v2}   the shadow: gets copies, nobody waits for it", "", from.len()));
    page.heading("The rule: Istio's VirtualService, as it stands in many clusters");
    let rule = include_str!("my-app.yaml").lines().skip_while(|line| *line != "kind: VirtualService").skip(2);
    rule.for_each(|line| page.aside(line));
}

fn mirrored(page: &mut Page, world: &World, agent: &Agent, interrupt: &Interrupt) -> Result<()> {
    let mut client = world.client();
    let mut replies = Vec::new();
    for number in 0..ALL {
        interrupt.check()?;
        client = client.header(ID, &number.to_string());
        replies.push(send(&mut client, number));
    }
    agent.eventually("umbra_shadow_offered_total", u32::try_from(ALL)?);
    agent.accounting_is_exact();

    let served = by_id(world.v1.received());
    let copied = by_id(world.v2.received());
    page.heading(&format!("{ALL} requests by a real client over one connection; the first {SHOWN}:"));
    let row = |number| shown(page, number, &replies[number], &served, &copied);
    let rows: Vec<_> = (0..SHOWN).map(row).collect();
    page.table(
        &["request", "body", "answer", " time", "served by", "client seen by v1", "copy at v2"],
        &rows,
    );

    page.heading("In all");
    verdicts(page, world, &replies, &served, &copied);
    accounts(page, agent);
    Ok(())
}

/// The requests a shop may see: each kind has its turn.
fn request(number: usize) -> (Method, String, Vec<u8>) {
    match number % 4 {
        0 => (Method::GET, format!("/products/{number}"), Vec::new()),
        1 => (Method::GET, format!("/search?q=umbrella&page={number}"), Vec::new()),
        2 => (Method::POST, "/cart".to_owned(), format!("{{\"item\": {number}}}").into_bytes()),
        _ => (Method::PUT, format!("/photos/{number}.jpg"), vec![b'.'; 1 + number * 1777 % 100_000]),
    }
}

fn send(client: &mut support::Client<'_>, number: usize) -> Option<Reply> {
    let (method, path, body) = request(number);
    client.send(method, &path, &body).ok()
}

type ById = BTreeMap<usize, Received>;

fn by_id(received: Vec<Received>) -> ById {
    received.into_iter().filter_map(|received| Some((received.header(ID).parse().ok()?, received))).collect()
}

fn shown(page: &Page, number: usize, reply: &Option<Reply>, served: &ById, copied: &ById) -> Vec<String> {
    let (method, path, body) = request(number);
    let (answer, time, by) = match reply {
        Some(reply) => {
            let time = format!("{:.1} ms", reply.took.as_secs_f64() * 1000.0);
            (reply.status.to_string(), time, reply.header("x-served-by").to_owned())
        }
        None => ("none".to_owned(), String::new(), String::new()),
    };
    let seen = served.get(&number).map(|received| received.peer.ip().to_string()).unwrap_or_default();
    let copy = match (served.get(&number), copied.get(&number)) {
        (Some(primary), Some(copy)) if same(primary, copy) => format!("{} the same", page.mark(true)),
        (_, Some(_)) => format!("{} differs", page.mark(false)),
        (_, None) => "· not drawn".to_owned(),
    };
    vec![format!("{method:<4} {path}"), size(body.len()), answer, time, by, seen, copy]
}

fn verdicts(page: &mut Page, world: &World, replies: &[Option<Reply>], served: &ById, copied: &ById) {
    let good =
        replies.iter().flatten().filter(|reply| reply.status == 200 && reply.header("x-served-by") == "v1");
    let good = good.count();
    page.verdict(
        good == ALL && served.len() == ALL,
        "v1 served",
        &format!("{good} of {ALL}, all it was asked"),
    );

    let share = copied.len() as f64 / ALL as f64 * 100.0;
    page.verdict(
        (40.0..60.0).contains(&share),
        "v2 received copies of",
        &format!("{} ({share:.1} %)", copied.len()),
    );

    let faithful =
        copied.iter().filter(|(id, copy)| served.get(id).is_some_and(|primary| same(primary, copy)));
    let faithful = faithful.count();
    let evidence = format!("{faithful} of {}: same method, path, Host and body", copied.len());
    page.verdict(faithful == copied.len() && faithful > 0, "copies equal to their primary", &evidence);

    let names =
        |received: &Received| received.headers.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
    let added = copied.iter().flat_map(|(id, copy)| match served.get(id) {
        Some(primary) => names(copy).difference(&names(primary)).cloned().collect(),
        None => BTreeSet::new(),
    });
    let added: Vec<String> = added.collect::<BTreeSet<_>>().into_iter().collect();
    page.verdict(!added.is_empty(), "marked as copies by", &added.join(", "));

    let clients: BTreeSet<_> = served.values().map(|received| received.peer.ip()).collect();
    let own = clients.len() == 1 && clients.contains(&world.client_address());
    let seen = clients.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    page.verdict(own, "client address seen by v1", &format!("{seen}, the client's own"));
}

/// The documented changes aside: the marker, and headers that speak of one connection.
fn same(primary: &Received, copy: &Received) -> bool {
    let head = |received: &Received| {
        (
            received.method.clone(),
            received.target.clone(),
            received.header("host").to_owned(),
            received.body.clone(),
        )
    };
    head(primary) == head(copy) && copy.header("host") == HOST
}

fn accounts(page: &mut Page, agent: &Agent) {
    let metrics = agent.metrics();
    let offered = metrics.sum("umbra_shadow_offered_total");
    let mut outcomes = BTreeMap::<String, f64>::new();
    for sample in metrics.select("umbra_shadow_outcomes_total").filter(|sample| sample.value > 0.0) {
        let label =
            |name: &str| sample.labels.get(name).map(|value| value.replace('_', " ")).unwrap_or_default();
        *outcomes
            .entry(format!("{} {}", label("outcome"), label("reason")).trim().to_owned())
            .or_default() += sample.value;
    }
    let sum: f64 = outcomes.values().sum();
    let terms: Vec<String> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    page.verdict(
        (sum - offered).abs() < 0.5,
        "the agent's books",
        &format!("{offered} offered = {}", terms.join(" + ")),
    );
}

fn killed(page: &mut Page, world: &World, agent: &mut Agent) {
    page.heading(&format!("Now the agent is killed with -9, under {CLIENTS} busy clients"));
    let load = world.load(CLIENTS);
    load.eventually_answers(200);
    let before = load.answered();
    let killed_at = Instant::now();
    agent.kill();
    thread::sleep(Duration::from_secs(2));
    let report = load.stop();

    let late = report.failures_begun_after(killed_at, Duration::from_secs(1)).len();
    let failed = report.failures.len();
    let after = report.answered - before;
    page.verdict(after > 100, "answered, agent alive and dead", &format!("{before} and then {after}"));
    page.verdict(failed <= 2 * CLIENTS, "failed, in flight when it died", &failed.to_string());
    page.verdict(late == 0, "failed, begun a second later", &late.to_string());
}

fn stay(page: &Page, world: &World, agent: &Agent) {
    page.heading("A new agent is running, until Ctrl-C");
    page.line(&format!("admin     http://{}", agent.admin()));
    page.line(&format!("metrics   curl http://{}/metrics", agent.admin()));
    page.line(&format!("rules     {}", agent.config_path().display()));
    let (netns, address) = (world.client_netns(), world.v1.address());
    page.line(&format!("a request sudo ip netns exec {netns} curl -H 'Host: {HOST}' http://{address}/hello"));
}

fn size(bytes: usize) -> String {
    match bytes {
        0 => "–".to_owned(),
        1..1024 => format!("{bytes} B"),
        _ => format!("{:.1} KiB", bytes as f64 / 1024.0),
    }
}
