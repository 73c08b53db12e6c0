//! How long rules take to compile and to match, and what they weigh: 10,000 VirtualServices of 5 rules and 100,000
//! endpoints. `cargo run --release --example compile_bench` prints the figures and says which
//! promises they miss. Times are CPU time: a machine may be shared.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench is run by a person")]
#![allow(unsafe_code, reason = "no crate wraps mi_collect")]

use std::{fmt::Write as _, fs, hint::black_box, net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use umbra::{
    config::{self, Report, Resources},
    message::{BodyLength, Header, RequestHead, Version},
    record::Accounts,
    route::{Compilation, Snapshot},
    source::files::Reader,
};

/// The agent's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVICES: u32 = 10_000;
const ENDPOINTS: u32 = 10;
/// So often is each change made; the median counts.
const CHANGES: usize = 9;

fn main() {
    let empty = resident();
    let mut bench = Bench::new();
    let read = resident();
    let (first, snapshot) = timed(|| bench.compile());
    let weight = resident().saturating_sub(empty);
    println!("compile    {first:?}  ({} captured ports)", snapshot.captured_ports().len());
    let took = [(0, "VirtualService"), (1, "ServiceEntry's endpoints"), (2, "DestinationRule")].map(
        |(kind, name)| {
            let took = bench.change(kind);
            println!("change     {took:?} after one {name} changed (median of {CHANGES})");
            took
        },
    );
    let took_away = bench.remove_and_add();
    println!("           {took_away:?} after one VirtualService came or went");
    println!(
        "memory     {} MiB with all kept: {} MiB as written, {} MiB of it after the changes",
        weight >> 20,
        (read - empty) >> 20,
        resident().saturating_sub(empty) >> 20
    );
    let mut matched = matches(&snapshot);
    matched.sort();
    let median = matched[matched.len() / 2];
    println!("match      {median:?} median, {:?} 99th percentile", matched[matched.len() * 99 / 100]);
    read_files();

    for (promise, kept) in [
        ("compile below 2 s", first < Duration::from_secs(2)),
        ("change below 50 ms", took.iter().all(|took| *took < Duration::from_millis(50))),
        ("match below 2 µs", median < Duration::from_micros(2)),
        ("memory below 300 MiB", weight < 300 << 20),
    ] {
        println!("promise    {promise}: {}", if kept { "kept" } else { "MISSED" });
    }
}

/// An agent's configuration, one part for each object.
struct Bench {
    parts: Vec<Arc<Resources>>,
    compilation: Compilation,
    accounts: Accounts,
    /// What is in force meanwhile.
    snapshot: Snapshot,
}

impl Bench {
    fn new() -> Self {
        let texts = (0..SERVICES).flat_map(|n| [rules(n, 0), entry(n, 0), subsets(n, 0)]);
        let parts = texts.enumerate().map(|(n, text)| part(n, &text)).collect();
        let (compilation, accounts) = (Compilation::default(), Accounts::default());
        Self { parts, compilation, accounts, snapshot: Snapshot::default() }
    }

    fn compile(&mut self) -> Snapshot {
        let mut report = Report::default();
        let snapshot = self.compilation.compile(self.parts.clone(), &self.accounts, &mut report);
        assert!(!report.has_errors(), "{:?}", report.diagnostics.first());
        self.snapshot = snapshot.clone();
        snapshot
    }

    fn change(&mut self, kind: usize) -> Duration {
        let change = [rules, entry, subsets][kind];
        let one = |n: usize| {
            let number = u32::try_from(n).unwrap() * 1000 + 7;
            let index = number as usize * 3 + kind;
            self.parts[index] = part(index, &change(number, 1));
            timed(|| drop(black_box(self.compile()))).0
        };
        median((0..CHANGES).map(one).collect())
    }

    fn remove_and_add(&mut self) -> Duration {
        let removed = self.parts.remove(3 * 5000);
        let went = timed(|| drop(black_box(self.compile()))).0;
        self.parts.insert(3 * 5000, removed);
        let came = timed(|| drop(black_box(self.compile()))).0;
        went.max(came)
    }
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() / 2]
}

fn part(n: usize, text: &str) -> Arc<Resources> {
    let (resources, report) = config::read_part(&format!("bench/{n}.yaml"), text);
    assert!(!report.has_errors(), "{:?}", report.diagnostics.first());
    Arc::new(resources)
}

/// Reads a directory of VirtualServices twice, one of them changed.
fn read_files() {
    let directory = std::env::temp_dir().join(format!("umbra-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let write = |n: u32, version| fs::write(directory.join(format!("{n}.yaml")), rules(n, version)).unwrap();
    (0..SERVICES).for_each(|n| write(n, 0));
    let (mut reader, paths): (_, [PathBuf; 1]) = (Reader::default(), [directory.clone()]);
    let (first, _) = timed(|| reader.load(&paths));
    write(7, 1);
    let (again, _) = timed(|| reader.load(&paths));
    println!("read       {first:?} for {SERVICES} files, {again:?} after one of them changed");
    fs::remove_dir_all(&directory).unwrap();
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = cpu();
    let done = work();
    (cpu() - start, done)
}

/// What this process has used of all CPUs (getrusage(2)).
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = |spent: TimeVal| {
        Duration::from_micros(u64::try_from(spent.tv_sec() * 1_000_000 + spent.tv_usec()).unwrap())
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// One request to each of many services; each is matched many times, to be longer than the clock's grain.
fn matches(snapshot: &Snapshot) -> Vec<Duration> {
    const TIMES: u32 = 100;
    let one = |n: u32| {
        let host = format!("app-{n}.default.svc.cluster.local");
        let path = format!("/api/v{}/items?id=7", n % 5);
        let headers = [
            Header { name: "Host", value: host.as_bytes() },
            Header { name: "User-Agent", value: b"bench" },
            Header { name: "Accept", value: b"*/*" },
            Header { name: "x-user", value: b"u-1" },
        ];
        let (method, target) = ("GET", path.as_str());
        let head = RequestHead {
            method,
            target,
            version: Version::Http11,
            headers: &headers,
            body: BodyLength::None,
            encrypted: false,
        };
        let destination = (address(n * ENDPOINTS), 8080).into();
        let client = Ipv4Addr::LOCALHOST.into();
        let (took, ()) = timed(|| {
            for _ in 0..TIMES {
                black_box(snapshot.inbound(black_box(destination)).unwrap().decide(black_box(&head), client));
            }
        });
        took / TIMES
    };
    (0..SERVICES).map(one).collect()
}

/// A document; `version` makes another text of it.
fn document(kind: &str, n: u32, version: u32) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: app-{n}, labels: {{version: v{version}}}}}\nspec:\n"
    )
}

fn rules(n: u32, version: u32) -> String {
    let host = format!("app-{n}.default.svc.cluster.local");
    let mut text = document("VirtualService", n, version) + &format!("  hosts: [{host}]\n  http:\n");
    for rule in 0..5 {
        let share = 100 - version;
        write!(
            text,
            "  - name: rule-{rule}\n    match:\n    - uri: {{prefix: /api/v{rule}/}}\n      method: {{exact: GET}}\n      headers: {{x-user: {{prefix: u-}}}}\n    route:\n    - destination: {{host: {host}, subset: v1}}\n    mirror: {{host: {host}, subset: v2}}\n    mirrorPercentage: {{value: {share}}}\n"
        )
        .unwrap();
    }
    text
}

fn entry(n: u32, version: u32) -> String {
    let mut text = document("ServiceEntry", n, version);
    writeln!(
        text,
        "  hosts: [app-{n}.default.svc.cluster.local]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}]\n  endpoints:"
    )
    .unwrap();
    // One of them goes.
    for e in 0..ENDPOINTS - version {
        let subset = if e < ENDPOINTS - 3 { "v1" } else { "v2" };
        let address = address(n * ENDPOINTS + e);
        writeln!(text, "  - {{address: {address}, labels: {{version: {subset}}}}}").unwrap();
    }
    text
}

fn subsets(n: u32, version: u32) -> String {
    document("DestinationRule", n, version)
        + &format!(
            "  host: app-{n}.default.svc.cluster.local\n  subsets:\n  - {{name: v1, labels: {{version: v1}}}}\n  - {{name: v2, labels: {{version: v2}}}}\n"
        )
}

fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + n)
}

/// Bytes of this process in memory (proc(5), `statm`), once what was freed is given back, as the agent does when it is
/// ready and after each reload.
fn resident() -> usize {
    // SAFETY: takes no pointer and may be called at any time, on any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
