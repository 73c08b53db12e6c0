//! What is held against the agent: every request as the client, v1 and v2 knew it, and the agent's own books.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use support::{Agent, Page, Received, Reply};

use crate::world::{HOST, World};

/// Joins what the three saw of one request.
pub(crate) const ID: &str = "x-request-id";

/// The requests a shop may see: each kind has its turn.
pub(crate) fn request(number: usize) -> (Method, String, Vec<u8>) {
    match number % 4 {
        0 => (Method::GET, format!("/products/{number}"), Vec::new()),
        1 => (Method::GET, format!("/search?q=umbrella&page={number}"), Vec::new()),
        2 => (Method::POST, "/cart".to_owned(), format!("{{\"item\": {number}}}").into_bytes()),
        _ => (Method::PUT, format!("/photos/{number}.jpg"), vec![b'.'; 1 + number * 1777 % 100_000]),
    }
}

/// By the request's number.
pub(crate) type ById = BTreeMap<usize, Received>;

pub(crate) fn by_id(received: Vec<Received>) -> ById {
    received.into_iter().filter_map(|received| Some((received.header(ID).parse().ok()?, received))).collect()
}

pub(crate) fn shown(
    page: &Page,
    number: usize,
    reply: &Option<Reply>,
    served: &ById,
    copied: &ById,
) -> Vec<String> {
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

pub(crate) fn verdicts(
    page: &mut Page,
    world: &World,
    replies: &[Option<Reply>],
    served: &ById,
    copied: &ById,
) {
    let all = replies.len();
    let good =
        replies.iter().flatten().filter(|reply| reply.status == 200 && reply.header("x-served-by") == "v1");
    let good = good.count();
    page.verdict(
        good == all && served.len() == all,
        "v1 served",
        &format!("{good} of {all}, all it was asked"),
    );

    let share = copied.len() as f64 / all as f64 * 100.0;
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

pub(crate) fn accounts(page: &mut Page, agent: &Agent) {
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

fn size(bytes: usize) -> String {
    match bytes {
        0 => "–".to_owned(),
        1..1024 => format!("{bytes} B"),
        _ => format!("{:.1} KiB", bytes as f64 / 1024.0),
    }
}
