//! What observing costs the thread that carries a request: no memory at all, once its series is there.

#![allow(unsafe_code, reason = "counts what is taken from the system's allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use umbra::{
    observe::All,
    record::{
        Account, Ending, Exchange, MirrorKey, Observer as _, Outcome, RuleAccount, RuleKey, Serving,
        ShadowOutcome, Trace, Workload,
    },
};

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes everything on as it is; counting neither takes memory nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
        // SAFETY: the caller's promise about the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise that `alloc` gave the pointer for this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn served(version: &'static str) -> Arc<Serving> {
    let label = |name: &str| (name == "version").then_some(version);
    let workload = Arc::new(Workload::new(None, "default", label));
    Arc::new(Serving {
        service: "my-app.default.svc.cluster.local".into(),
        namespace: "default".into(),
        workload,
    })
}

#[test]
fn an_exchange_and_a_copy_are_observed_without_taking_memory() {
    let key = Arc::new(RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() });
    let now = Instant::now();
    let trace = Trace::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let plain = Exchange {
        client: SocketAddr::from(([10, 0, 0, 9], 999)),
        destination: SocketAddr::from(([10, 0, 0, 1], 80)),
        source: Some(Arc::new(Workload::new(Some("web"), "default", |_| None))),
        served: Some(served("v1")),
        rule: Some(Arc::new(RuleAccount::new(Arc::clone(&key)))),
        version: http::Version::HTTP_11,
        encrypted: false,
        is_grpc: false,
        status: 200,
        grpc_status: None,
        ending: Ending::Complete,
        request_bytes: 400,
        response_bytes: 2000,
        started: now,
        answered: Some(Duration::from_millis(3)),
        duration: Duration::from_millis(4),
        trace: None,
        text: None,
        mirrors: 0,
        copies: 0,
    };
    let traced = Exchange { trace, ..plain.clone() };
    let copy = ShadowOutcome {
        mirror: Arc::new(Account::new(MirrorKey { rule: key, mirror: "my-app:80/v2".into() })),
        client: plain.client,
        source: plain.source.clone(),
        served: Some(served("v2")),
        endpoint: None,
        outcome: Outcome::Completed { status: 200 },
        why: None,
        version: Some(http::Version::HTTP_11),
        is_grpc: false,
        status: 200,
        grpc_status: None,
        request_bytes: 400,
        response_bytes: 2000,
        offered: now,
        sent: Some(Duration::from_millis(1)),
        answered: Some(Duration::from_millis(3)),
        duration: Duration::from_millis(4),
        trace,
        text: None,
    };
    let observers = All::default();
    let rounds = |observe: &dyn Fn()| {
        observe();
        let (before, began) = (TAKEN.get(), Instant::now());
        (0..10_000).for_each(|_| observe());
        (TAKEN.get() - before, began.elapsed() / 10_000)
    };

    for (what, (taken, time)) in [
        ("an exchange", rounds(&|| observers.exchange(black_box(&plain)))),
        ("a traced exchange", rounds(&|| observers.exchange(black_box(&traced)))),
        ("a copy", rounds(&|| observers.shadow(black_box(&copy)))),
    ] {
        println!("{what}: {taken} allocations in 10000, {time:?} each");
        assert_eq!(taken, 0, "{what}");
    }
    let before = TAKEN.get();
    drop(black_box(Box::new(1)));
    assert_eq!(TAKEN.get() - before, 1, "the count counts");
}
