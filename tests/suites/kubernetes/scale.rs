//! What a cluster costs an agent: memory and CPU once it is known, and while it changes. A thousand objects as a rule;
//! `UMBRA_SCALE=10000 UMBRA_BINARY=target/release/umbra cargo test -p umbra-tests --test kubernetes scale -- --nocapture`
//! measures ten thousand.

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{Agent, ApiServer, KubeService, endpoint, eventually};

use crate::world::{RULES, SHOP, World, mirror_to, subsets};

/// Endpoints of each service.
const ENDPOINTS: u32 = 5;

#[test]
fn a_cluster_of_many_objects_is_followed_at_little_cost() {
    let count: u32 = env::var("UMBRA_SCALE").ok().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let world = World::new();
    let server = ApiServer::stub(world.node.netns());
    server.install(&RULES);
    world.populate(&server);
    server.apply(&subsets());
    let objects: Vec<_> = (0..count / 10).flat_map(|number| service(number, 0)).collect();
    server.fill(&objects);

    let started = Instant::now();
    let agent = world.agent(&server).spawn();
    while !agent.is_ready() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (ready, first) = (started.elapsed(), cpu(&agent));
    assert!(agent.is_ready(), "{}", agent.log());
    println!("{count} objects: ready after {ready:.1?}, {first:.1?} of CPU, {} MiB", agent.memory() >> 20);

    let (rest, idle) = (Instant::now(), cpu(&agent));
    eventually("some rest", || (rest.elapsed() > Duration::from_secs(5)).then_some(()));
    println!("at rest: {:.1} % of a core", share(cpu(&agent) - idle, rest.elapsed()));

    // A rollout: endpoints change twenty times a second.
    let (begun, busy) = (Instant::now(), cpu(&agent));
    let mut changes = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        changes += 1;
        server.fill(&[service(changes % (count / 10), changes)[1].clone()]);
        std::thread::sleep(Duration::from_millis(50));
    }
    let (took, elapsed) = (cpu(&agent) - busy, begun.elapsed());
    println!(
        "in a rollout ({changes} changes in {elapsed:.1?}): {:.1} % of a core, {} MiB",
        share(took, elapsed),
        agent.memory() >> 20
    );

    let load = world.load();
    let applied = Instant::now();
    server.apply(&mirror_to("v2"));
    world.until_copied_to(2);
    println!("a rule among them: in effect after {} ms", applied.elapsed().as_millis());
    assert!(load.stop().failures.is_empty());
    agent.accounting_is_exact();
}

/// Ten objects: four services with a slice each, and two rules, of which one mirrors.
fn service(number: u32, turn: u32) -> Vec<Value> {
    let one = |part: u32| {
        let name: &'static str = Box::leak(format!("svc-{number}-{part}").into_boxed_str());
        let service = KubeService { namespace: SHOP, name, port: 8080 };
        let address =
            |at: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + (number * 4 + part) * 16 + at + turn % 8));
        let endpoints: Vec<_> =
            (0..ENDPOINTS).map(|at| endpoint(&format!("{name}-{at}"), SHOP, "node-2", address(at))).collect();
        [service.service(), service.slice(&endpoints)]
    };
    let rule = |part: u32, mirrors: Value| {
        let host = format!("svc-{number}-{part}");
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": host, "namespace": SHOP},
            "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}], "mirrors": mirrors}]},
        })
    };
    let mirrored = json!([{"destination": {"host": format!("svc-{number}-1")}}]);
    let rules = [rule(0, mirrored), rule(2, json!([]))];
    (0..4).flat_map(one).chain(rules).collect()
}

/// CPU time of the whole agent so far (proc_pid_stat(5): user and system, in hundredths of a second).
fn cpu(agent: &Agent) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn share(took: Duration, of: Duration) -> f64 {
    took.as_secs_f64() / of.as_secs_f64() * 100.0
}
