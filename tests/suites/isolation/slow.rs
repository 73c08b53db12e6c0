//! Uploads that take for ever. A copy streams along with its request, so it holds what it has for as long.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use support::Metrics;

use crate::{
    clients::Load,
    said::{ANSWER, Request},
    shadows::{Way, shadow},
    trial::{MOST_GROWTH, PLAIN, Setting, World, mib, outcomes},
};

/// The default of `shadow.connectionsPerEndpoint`.
const CONNECTIONS: usize = 256;
const COMPLETED: &str = "umbra_shadow_outcomes_total{outcome=\"completed\"}";
const PENDING: &str = "umbra_shadow_outcomes_total{outcome=\"dropped\",reason=\"pending\"}";

fn world(way: Way) -> World {
    World::new("1s", |_, pod| {
        let shadow = shadow(pod, way);
        Setting::new(shadow.address, shadow)
    })
}

#[test]
fn uploads_that_hold_every_connection_to_a_shadow_cost_other_copies_and_no_request() {
    const SENT: usize = 1 << 10;
    let World { agent, client, primary, .. } = &world(Way::Healthy);
    let (before, memory) = (agent.memory_at_rest(), agent.watch_memory());
    let books = agent.watch_accounts();
    let begin = |connection| {
        let request = Request { connection, number: 0, body: 64 << 10 };
        let mut stream = client.netns().connect(primary.address).unwrap();
        stream.write_all(request.head().as_bytes()).unwrap();
        stream.write_all(request.body_at(0, SENT)).unwrap();
        (request, stream)
    };
    let uploads: Vec<_> = (0..CONNECTIONS).map(begin).collect();
    agent.eventually("umbra_shadow_in_flight", 256);
    // Each has its connection.
    agent.eventually("umbra_shadow_queue_requests", 0);

    assert_eq!(PLAIN.run(client, primary.address), Vec::<String>::new());
    primary.has_heard(PLAIN.total());
    agent.eventually(PENDING, 200);
    agent.eventually(COMPLETED, 0);
    let table = agent.umbra(&["mirrors"]).stdout;
    let table = String::from_utf8_lossy(&table);
    assert!(["200: pending 200", "pending ", "s ago"].iter().all(|part| table.contains(part)), "{table}");

    uploads.into_iter().for_each(|(request, stream)| finish(request, stream, SENT));
    agent.eventually(COMPLETED, 256);
    assert_eq!(PLAIN.run(client, primary.address), Vec::<String>::new());
    agent.eventually(COMPLETED, 456);
    agent.eventually(PENDING, 200);
    agent.accounting_is_exact();
    assert!(books.stop() > 0);
    primary.has_heard(CONNECTIONS + 2 * PLAIN.total());
    let growth = mib(memory.stop(), before);
    println!("{:32} {:24} grew {growth:5.1} MiB", "healthy", "256 slow uploads");
    assert!(growth < mib(MOST_GROWTH, 0), "256 slow uploads took {growth:.1} MiB");
}

/// The rest of an upload, and its answer.
fn finish(request: Request, mut stream: TcpStream, sent: usize) {
    let mut position = sent;
    while position < request.body {
        let piece = request.body_at(position, request.body - position);
        stream.write_all(piece).unwrap();
        position += piece.len();
    }
    let expected = [request.answer_head().as_bytes(), request.body_at(0, ANSWER)].concat();
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == expected, "{request:?} was not answered as it should be");
}

#[test]
fn any_number_of_uploads_to_a_shadow_that_never_reads_holds_no_more_than_the_budget() {
    let load = Load { name: "8 uploads of 100 MiB", connections: 8, requests: 1, body: 100 << 20 };
    let world = world(Way::NeverReads);
    let before = world.agent.memory_at_rest();
    let (metrics, peak) = world.bear(load, 0);
    let growth = mib(peak, before);
    let ends = outcomes(&metrics, &Metrics::default());
    println!("{:32} {:24} grew {growth:5.1} MiB {ends}", "accepts, never reads", load.name);
    let dropped = metrics.sum("umbra_shadow_outcomes_total{outcome=\"dropped\"}");
    assert!((dropped - 8.0).abs() < 0.5, "{ends}");
    assert!(growth < mib(MOST_GROWTH, 0), "memory grew by {growth:.1} MiB");
}
