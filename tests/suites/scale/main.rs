//! What a large cluster costs an agent and its API server: memory and CPU at the start, on an ordinary day and in a rollout; what
//! the server is asked for; how soon a change takes effect meanwhile. The agent is real, the cluster is simulated: 50 nodes as a
//! rule, a thousand by
//!
//! ```sh
//! cargo build --release -p umbra
//! UMBRA_SCALE=1000 UMBRA_BINARY=$PWD/target/release/umbra cargo test -p umbra-tests --test scale -- --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]
#![allow(clippy::cast_possible_truncation, reason = "few nodes, few seconds")]

mod cluster;
mod cost;
mod node;
mod objects;
mod server;
mod store;

use std::{
    env, thread,
    time::{Duration, Instant},
};

use cluster::{Cluster, POD_CHANGES, SLICE_CHANGES};
use cost::Since;
use node::Place;
use support::Agent;

/// Nodes of the whole simulation.
const WHOLE: u32 = 1000;
/// What an agent may take for it when it is ready, in bytes, its traffic included.
const MOST: u64 = 128 << 20;

#[test]
fn an_agent_follows_a_large_cluster_at_little_cost() {
    let nodes: u32 = env::var("UMBRA_SCALE").ok().and_then(|nodes| nodes.parse().ok()).unwrap_or(WHOLE / 20);
    let stretch: u32 = if nodes < WHOLE { 4 } else { 30 };
    let place = Place::new();
    let cluster = Cluster::new(nodes, place.node.netns());
    place.join(&cluster);
    println!("{}", cluster.size());

    let begun = Instant::now();
    let agent = place.agent(&cluster);
    let (memory, start) = (agent.watch_memory(), Since::now(&agent, &cluster));
    while !agent.is_ready() && begun.elapsed() < Duration::from_secs(120) {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(agent.is_ready(), "{}", agent.log());
    start.tell("start until ready", &agent, &cluster);
    let asking = place.ask();
    while place.copies(0) == 0 && begun.elapsed() < Duration::from_secs(120) {
        thread::sleep(Duration::from_millis(20));
    }
    place.until_copied_to(0);
    println!("first copy after {:.1?}", begun.elapsed());
    thread::sleep(Duration::from_secs(2));
    println!("most memory at the start: {} MiB", memory.stop() >> 20);

    let rest = Since::now(&agent, &cluster);
    thread::sleep(Duration::from_secs(stretch.min(20).into()));
    rest.tell("at rest, asked 50 times a second", &agent, &cluster);

    let (memory, day) = (agent.watch_memory(), Since::now(&agent, &cluster));
    let compiled = compilations(&agent);
    cluster.live(stretch);
    day.tell("an ordinary day", &agent, &cluster);
    let compiled = compilations(&agent) - compiled;
    println!("{compiled} compilations for {} changes of slices", stretch * SLICE_CHANGES);
    // Nearly all are elsewhere, and of those a compilation every ten seconds takes in what there is.
    let local = stretch * (SLICE_CHANGES + POD_CHANGES) * 3 / nodes;
    assert!(compiled <= f64::from(stretch / 10 + 2 + local), "changes elsewhere were compiled one by one");
    println!("most memory meanwhile: {} MiB", memory.stop() >> 20);

    let (memory, rollout) = (agent.watch_memory(), Since::now(&agent, &cluster));
    cluster.roll();
    rollout.tell(&format!("a rollout of {} pods", cluster.rollout()), &agent, &cluster);
    let peak = memory.stop();
    println!("most memory meanwhile: {} MiB", peak >> 20);

    let (mut took, changes) = (Vec::new(), Since::now(&agent, &cluster));
    thread::scope(|scope| {
        let rolling = scope.spawn(|| cluster.roll());
        while took.len() < 12 || !rolling.is_finished() {
            took.extend(place.change(&cluster));
        }
    });
    changes.tell("another, with changes of our own", &agent, &cluster);
    for what in ["rule", "slice"] {
        let mut times: Vec<_> = took.iter().filter(|took| took.what == what).map(|took| took.time).collect();
        times.sort_unstable();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!("a changed {what} in effect: median {median:.0?}, worst {worst:.0?} of {}", times.len());
    }

    place.learn_of_a_new_service(&cluster);

    let (answered, failed) = asking.stop();
    println!("{answered} requests answered, {} failed", failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(agent.memory() < MOST && peak < MOST, "{} bytes, at most {peak}", agent.memory());
    agent.accounting_is_exact();
    assert!(agent.stop().success());
}

/// How often its rules were compiled anew.
fn compilations(agent: &Agent) -> f64 {
    agent.metrics().sum("umbra_config_reloads_total{outcome=\"applied\"}")
}
