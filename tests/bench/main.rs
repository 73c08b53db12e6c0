//! `cargo xtask bench`: what umbra costs beside nginx and Envoy doing the same in the same run. Cases take turns, so
//! that what disturbs the machine disturbs all of them. Fails when the run was not what it says, never because of a
//! figure.

mod books;
mod case;
mod charts;
mod client;
mod figures;
mod json;
mod load;
mod onlookers;
mod options;
mod perf;
mod process;
mod readme;
mod report;
mod round;
mod rows;
mod site;
mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, panic,
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use books::Books;
use case::{Case, DIRECT, Setting};
use client::Client;
use figures::Rounds;
use load::Load;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use options::Options;
use process::Processors;
use report::{Machine, Report};
use round::{Figure, Round, settled};
use rows::Row;
use site::{Site, World};
use support::{Interrupt, Page};

fn main() -> Result<ExitCode> {
    let options = Options::read()?;
    // The parts of the test support fail by panicking: here their message is enough.
    panic::set_hook(Box::new(|panic| {
        println!("\n✗ {}", panic.payload_as_str().unwrap_or("the bench failed"));
    }));
    let processors = Processors::of_this_machine()?;
    // Before any thread: all that is started from here on is where this is, until it is moved.
    process::pin(std::process::id(), &processors.of_the_rest())?;
    let (_, most_files) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most_files, most_files)?;
    let interrupt = Interrupt::watch()?;
    let mut page = Page::on_stdout();
    match panic::catch_unwind(panic::AssertUnwindSafe(|| bench(&options, processors, &page, &interrupt))) {
        Ok(Ok(report)) => {
            report.print(&mut page);
            if let Some(file) = &options.json {
                fs::write(file, json::of(&report))
                    .with_context(|| format!("cannot write {}", file.display()))?;
                page.aside(&format!("all figures are in {}", file.display()));
            }
            if let Some(dir) = &options.charts {
                let written = charts::write(dir, &report.rounds)?;
                page.aside(&format!("charts in {}: {}", dir.display(), written.join(", ")));
            }
            if let Some(file) = &options.readme {
                readme::write(file, &report)?;
                page.aside(&format!("{} has the results", file.display()));
            }
            Ok(if page.all_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Ok(Err(error)) => {
            println!("\n✗ {error:#}; everything was cleaned up");
            Ok(ExitCode::FAILURE)
        }
        Err(_) => Ok(ExitCode::FAILURE),
    }
}

fn bench(
    options: &Options,
    processors: Processors,
    page: &Page,
    interrupt: &Interrupt,
) -> Result<Report<'static>> {
    let rows = options.rows()?;
    let also = options.also.is_some();
    let busy_before = busy_with_others(processors.count)?;
    let load_average = fs::read_to_string("/proc/loadavg")?.trim().to_owned();
    page.line(&format!(
        "{busy_before:.0} % of the machine was busy just before; load average {load_average}"
    ));

    let plan = plan(&rows, also);
    let world = World::new(processors, options.also.clone())?;
    let sites = sites(&plan, &world, page, interrupt)?;
    let mut client = Client::new(&world.client, 1)?;
    let at_full_speed = Round::run(Load::Full, &sites[&DIRECT], &world, &client, interrupt)?;
    let capacity = Figure::Throughput.of(&at_full_speed);
    client.per_second = options.rate.unwrap_or_else(|| whole(capacity / 10.0));
    client.seconds = options.seconds;
    page.line(&format!(
        "the app alone answers {capacity:.0} small GETs a second; the open loop sends {}",
        client.per_second
    ));

    client.opened_per_second = match plan.get(&Load::Opened) {
        Some(cases) => opened_per_second(cases, &sites, &world, &client, interrupt)?,
        None => 0,
    };
    if client.opened_per_second > 0 {
        page.line(&format!("with a connection for each it sends {}", client.opened_per_second));
    }

    let before = books(&sites, interrupt)?;
    let mut rounds = Rounds::default();
    for number in 0..options.rounds {
        for (load, cases) in plan.iter().filter(|(load, _)| number < load.rounds(options.rounds)) {
            page.aside(&format!("round {} of {}: {}", number + 1, load.rounds(options.rounds), load.name()));
            let mut order: Vec<Case> = cases.iter().copied().collect();
            // Who comes first differs from round to round.
            order.rotate_left(number % cases.len());
            for case in order {
                let round = Round::run(*load, &sites[&case], &world, &client, interrupt)
                    .with_context(|| format!("{case}, {}", load.name()))?;
                rounds.add(*load, case, round);
            }
        }
    }
    if let Some(dir) = &options.profile {
        profile(dir, &sites, &client, page, interrupt)?;
    }
    let books = books(&sites, interrupt)?;
    let books = books.into_iter().map(|(case, books)| (case, books.since(&before[&case]))).collect();
    let machine = Machine {
        processors: world.processors.count,
        rounds: options.rounds,
        seconds: options.seconds,
        busy_before,
        load_average,
        capacity,
        per_second: client.per_second,
        opened_per_second: client.opened_per_second,
    };
    Ok(Report { machine, rows, also, rounds, books })
}

/// Where the CPU time of umbra and its peers goes, of what was measured: a file for each case.
fn profile(
    dir: &Path,
    sites: &BTreeMap<Case, Site>,
    client: &Client,
    page: &Page,
    interrupt: &Interrupt,
) -> Result<()> {
    fs::create_dir_all(dir)?;
    for (case, site) in sites.iter().filter(|(case, _)| matches!(case.1, Setting::Plain | Setting::Mirror)) {
        let loads = [(Load::Tenth, "http1"), (Load::Http2, "http2")];
        for (load, name) in loads.into_iter().filter(|(load, _)| site.serves(*load)) {
            page.aside(&format!("profile of {case}, {}", load.name()));
            let file = dir.join(format!("{case}, {name}.txt").replace(' ', "-"));
            fs::write(&file, client.profile(load, site, interrupt)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

/// Which cases each load needs.
fn plan(rows: &[&Row], also: bool) -> BTreeMap<Load, BTreeSet<Case>> {
    let mut plan: BTreeMap<Load, BTreeSet<Case>> = BTreeMap::new();
    for row in rows {
        plan.entry(row.load).or_default().extend(row.cases(also));
    }
    plan
}

fn sites(
    plan: &BTreeMap<Load, BTreeSet<Case>>,
    world: &World,
    page: &Page,
    interrupt: &Interrupt,
) -> Result<BTreeMap<Case, Site>> {
    let mut cases: BTreeSet<Case> = plan.values().flatten().copied().collect();
    cases.insert(DIRECT);
    page.heading(&format!("{} ways from one client to the app", cases.len()));
    let set_up = |(number, case): (usize, Case)| {
        interrupt.check()?;
        let site = Site::new(case, u8::try_from(number)?, world).with_context(|| format!("set up {case}"))?;
        anyhow::Ok((case, site))
    };
    cases.into_iter().enumerate().map(set_up).collect()
}

/// Ten thousand, or three quarters of what the slowest way can.
fn opened_per_second(
    cases: &BTreeSet<Case>,
    sites: &BTreeMap<Case, Site>,
    world: &World,
    client: &Client,
    interrupt: &Interrupt,
) -> Result<u32> {
    let mut rate = 10_000.0;
    for case in cases {
        let round = Round::run(Load::Fresh, &sites[case], world, client, interrupt)?;
        rate = (Figure::Throughput.of(&round) * 0.75).min(rate);
    }
    Ok(whole(rate))
}

/// What each agent says of its copies, once all have ended.
fn books(sites: &BTreeMap<Case, Site>, interrupt: &Interrupt) -> Result<BTreeMap<Case, Books>> {
    let mut books = BTreeMap::new();
    for (case, site) in sites {
        if let Some(agent) = site.agent() {
            settled(agent, interrupt)?;
            books.insert(*case, Books::settled(agent, ways::umbra::VIRTUAL_SERVICE));
        }
    }
    Ok(books)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "requests per second, far below 2³²"
)]
fn whole(per_second: f64) -> u32 {
    per_second.max(1.0) as u32
}

/// How much of the machine is in use, in percent, while the bench does nothing.
fn busy_with_others(processors: usize) -> Result<f64> {
    let second = Duration::from_secs(1);
    let before = process::cpu_of_machine()?;
    thread::sleep(second);
    let busy = process::cpu_of_machine()?.saturating_sub(before);
    Ok(busy.as_secs_f64() / processors as f64 * 100.0)
}
