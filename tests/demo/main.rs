//! `cargo xtask demo`: a mirrored request on this machine, with a real kernel, real servers and a real client, told
//! to a person. Ends with failure when something did not go as promised.

mod evidence;
mod world;

use std::{
    panic,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use evidence::{ID, accounts, by_id, request, shown, verdicts};
use support::{Agent, Client, Interrupt, Page, Reply};
use world::{HOST, World};

/// Requests that are shown one by one, and in all.
const SHOWN: usize = 10;
const ALL: usize = 1000;
const CLIENTS: usize = 4;

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

fn send(client: &mut Client<'_>, number: usize) -> Option<Reply> {
    let (method, path, body) = request(number);
    client.send(method, &path, &body).ok()
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
