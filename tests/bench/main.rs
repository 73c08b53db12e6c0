//! `cargo xtask bench`: what umbra costs per request, beside nginx doing the same in the same run. Cases take turns,
//! so that what disturbs the machine disturbs all of them. Fails when the run was not what it says, never because of
//! a figure.

mod books;
mod cpu;
mod figures;
mod nginx;
mod report;
mod round;
mod world;
mod wrk;

use std::{fs, panic, path::PathBuf, process::ExitCode, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use report::Report;
use round::{Case, Round, Scene};
use support::{Interrupt, Page};
use world::World;
use wrk::{CONNECTIONS, Load, Wrk};

const ROUNDS: usize = 3;
/// Of one round of one case under one load: 2 × 5 × 3 of them.
const SECONDS: u64 = 3;
const WARM_UP_SECONDS: u64 = 1;

fn main() -> Result<ExitCode> {
    let json_file = arguments()?;
    // The parts of the test support fail by panicking: here their message is enough.
    panic::set_hook(Box::new(|panic| {
        println!("\n✗ {}", panic.payload_as_str().unwrap_or("the bench failed"));
    }));
    let interrupt = Interrupt::watch()?;
    let mut page = Page::on_stdout();
    match panic::catch_unwind(panic::AssertUnwindSafe(|| bench(&page, &interrupt))) {
        Ok(Ok(report)) => {
            report.print(&mut page);
            if let Some(file) = json_file {
                fs::write(&file, report.to_json())
                    .with_context(|| format!("cannot write {}", file.display()))?;
                page.aside(&format!("all figures are in {}", file.display()));
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

/// `[--json FILE]`
fn arguments() -> Result<Option<PathBuf>> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (None, _) => Ok(None),
        (Some(option), Some(file)) if option == "--json" => Ok(Some(file.into())),
        _ => bail!("only `--json FILE` is understood: run by `cargo xtask bench`"),
    }
}

fn bench(page: &Page, interrupt: &Interrupt) -> Result<Report> {
    let cpus = thread::available_parallelism()?.get();
    let busy_before = busy_with_others(cpus)?;
    let world = World::new()?;
    let wrk = Wrk::new(&world.client)?;

    page.heading(&format!(
        "{} ways to one app, {CONNECTIONS} kept connections, {cpus} CPUs",
        Case::ALL.len()
    ));
    page.line(&format!(
        "{busy_before:.0} % of the machine was busy just before: its own figures include such work of others"
    ));
    let scene = Scene { world: &world, wrk: &wrk, interrupt };
    for case in Case::ALL {
        Round::run(case, Load::Full, WARM_UP_SECONDS, &scene)?;
    }
    let mut report = Report { cpus, busy_before, rounds: Default::default() };
    for number in 1..=ROUNDS {
        for load in Load::ALL {
            let mut speeds = Vec::new();
            for case in Case::ALL {
                let round = Round::run(case, load, SECONDS, &scene)?;
                speeds.push(format!("{:.0}", round.requests_per_second()));
                report.rounds.entry((load, case)).or_default().push(round);
            }
            page.aside(&format!(
                "round {number} of {ROUNDS} {:<13}  {} requests/s",
                load.name(),
                speeds.join(" · ")
            ));
        }
    }
    Ok(report)
}

/// How much of the machine is in use, in percent, while the bench does nothing.
fn busy_with_others(cpus: usize) -> Result<f64> {
    let second = Duration::from_secs(1);
    let before = cpu::of_machine()?;
    thread::sleep(second);
    let busy = cpu::of_machine()?.saturating_sub(before);
    Ok(busy.as_secs_f64() / cpus as f64 * 100.0)
}
