//! How often the agent asks for memory while requests go by: never for one that is relayed, read and matched and not
//! mirrored. Alone in its program, for the allocator counts for all threads.

#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::Notify,
    task::{LocalSet, spawn_local},
};
use umbra::{
    app,
    capture::{Direct, Inbound, Seed},
    config::umbra::Shadow,
    connection::{self, Node},
    observe::All,
    record::Accounts,
    relay::{Leaving, tls::Certificates},
    shadow::Plane,
};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Of every thread.
static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static TAKEN_HERE: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    TAKEN.fetch_add(1, Relaxed);
    TAKEN_HERE.set(TAKEN_HERE.get() + 1);
}

// SAFETY: all is left to the system's allocator; counting takes no memory (the thread's cell needs neither making nor
// dropping).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises; it came from the same allocator.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

const WARM_UP: u64 = 1_000;
const COUNTED: u64 = 5_000;

const REQUEST: &[u8] =
    b"GET /products/1?page=2 HTTP/1.1\r\nhost: shop.test\r\nuser-agent: test\r\naccept: */*\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

/// Allocations in [`COUNTED`] requests on one kept connection.
struct Taken {
    /// By the thread that carries the connection.
    data: u64,
    /// By all others: the shadow plane's.
    others: u64,
}

#[test]
fn a_request_that_is_not_mirrored_takes_no_memory() {
    let plain = taken("headers: {x-mirror-me: {exact: 'yes'}}");
    println!("not mirrored: {} allocations in {COUNTED} requests", plain.data);
    // Some may remain: room for a time of a magnitude that had not come before.
    assert!(plain.data < COUNTED / 100, "{} allocations in {COUNTED} requests", plain.data);
    assert!(plain.others < COUNTED / 100, "{} allocations on other threads", plain.others);

    let mirrored = taken("uri: {prefix: /}");
    let each = |count: u64| count as f64 / COUNTED as f64;
    println!(
        "mirrored: {:.1} allocations per request on the data thread, {:.1} in the shadow plane",
        each(mirrored.data),
        each(mirrored.others)
    );
}

/// With a rule that mirrors what fits this condition.
fn taken(mirrored: &str) -> Taken {
    let (app, shadow) = (server(), server());
    let accounts = Accounts::default();
    let compiled = app::Source::CommandLine(rules(app, shadow, mirrored)).compile(&accounts);
    assert!(!compiled.report.has_errors(), "{:?}", compiled.report);
    let observer = Arc::new(All::default());
    let plane = Plane::start(&Shadow { nice: 0, ..Shadow::default() }, observer.clone()).unwrap();
    plane.enforce(&compiled.snapshot);
    let node = Node {
        snapshot: ArcSwap::from_pointee(compiled.snapshot),
        plane,
        observer,
        seed: Seed::default(),
        certificates: Arc::new(Certificates::load(&[])),
        leaving: Leaving::default(),
    };

    let (direct, mut listeners) = Direct::listen(([127, 0, 0, 1], 0).into(), app, 1).unwrap();
    let agent = direct.address();
    let listener = listeners.remove(0).listeners.remove(0);
    listener.set_nonblocking(true).unwrap();
    let client = Client::start(agent);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let on_this_thread = LocalSet::new();
    let taken = on_this_thread.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let inbound = Inbound::Direct(direct);
        spawn_local(async move {
            let accepted = listener.accept().await.unwrap();
            connection::serve(accepted, &inbound, &node, &Leaving::default()).await;
        });
        client.asks(WARM_UP).await;
        while in_flight(&accounts) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (all, here) = (TAKEN.load(Relaxed), TAKEN_HERE.get());
        client.asks(COUNTED).await;
        let data = TAKEN_HERE.get() - here;
        while in_flight(&accounts) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let waiting = TAKEN_HERE.get() - here - data;
        Taken { data, others: TAKEN.load(Relaxed) - all - data - waiting }
    });
    client.ends();
    taken
}

fn in_flight(accounts: &Accounts) -> u64 {
    accounts.all().iter().map(|account| account.read().in_flight()).sum()
}

/// Sends one request after the other on one connection, as many as it is told to.
struct Client {
    thread: thread::JoinHandle<()>,
    orders: std::sync::mpsc::SyncSender<u64>,
    done: Arc<Notify>,
}

impl Client {
    fn start(agent: SocketAddr) -> Self {
        let (orders, ordered) = std::sync::mpsc::sync_channel(1);
        let done = Arc::new(Notify::new());
        let tells = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let mut stream = TcpStream::connect(agent).unwrap();
            stream.set_nodelay(true).unwrap();
            let mut answer = [0; ANSWER.len()];
            while let Ok(requests) = ordered.recv() {
                for _ in 0..requests {
                    stream.write_all(REQUEST).unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, ANSWER);
                }
                tells.notify_one();
            }
        });
        Self { thread, orders, done }
    }

    async fn asks(&self, requests: u64) {
        self.orders.send(requests).unwrap();
        self.done.notified().await;
    }

    fn ends(self) {
        drop(self.orders);
        self.thread.join().unwrap();
    }
}

/// Answers whatever comes up to an empty line; in memory that it has from the start of each connection.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut filled) = ([0; 4096], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += count;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

fn rules(app: SocketAddr, shadow: SocketAddr, mirrored: &str) -> String {
    let service = |name: &str, address: SocketAddr| {
        format!(
            "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: test}}
spec:
  hosts: [{name}.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {}}}]
  endpoints: [{{address: {}}}]
",
            address.port(),
            address.ip()
        )
    };
    format!(
        "{}{}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: test}}
spec:
  hosts: [shop.test]
  http:
  - match: [{{{mirrored}}}]
    route: [{{destination: {{host: shop.test}}}}]
    mirror: {{host: shadow.test}}
  - route: [{{destination: {{host: shop.test}}}}]
",
        service("shop", app),
        service("shadow", shadow)
    )
}
