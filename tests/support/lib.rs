//! What the suites are built from: a [`Node`] with [`Pod`]s, [`Upstream`]s and [`Client`]s in them, and the real
//! [`Agent`]. Everything is blocking, lives in network namespaces of its own, takes itself down when dropped, and
//! fails the test on the spot, with evidence, when it cannot do what was asked.
//!
//! ```no_run
//! use support::{Node, agent, upstream};
//!
//! let node = Node::new();
//! let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
//! let primary = upstream(&app).replies("ok").start();
//! let copies = upstream(&shadow).never_answers().start();
//! let agent = agent(&node).mirror_all(&primary, &copies).start();
//!
//! let reply = client.get(primary.address(), "/cart");
//!
//! assert_eq!(reply.text(), "ok");
//! agent.eventually("umbra_shadow_offered_total", 1);
//! agent.accounting_is_exact();
//! ```

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's parts fail the test where they stand")]

mod agent;
mod books;
mod client;
mod config;
mod interrupt;
mod kube;
mod load;
mod memory;
mod metrics;
mod netns;
mod nginx;
mod node;
mod page;
mod python;
mod traces;
mod upstream;

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

pub use agent::{Agent, AgentBuilder, agent, binary, umbra_as_nobody};
pub use books::Watch;
pub use client::{Client, Connection, Reply, chunked};
pub use config::Config;
pub use interrupt::Interrupt;
pub use kube::{ApiServer, KubeService, endpoint, pod_object};
pub use load::{Asking, Failure, Load, LoadReport};
pub use memory::MemoryWatch;
pub use metrics::{Metrics, Sample};
pub use netns::{Link, Netns, Subnet};
pub use nginx::Nginx;
pub use node::{Node, Pod, Refusing};
pub use page::Page;
pub use python::python;
pub use upstream::{Body, Received, Recorder, Upstream, UpstreamBuilder, upstream};

/// How long anything may take before the test is failed: 15 seconds, or as many as `UMBRA_PATIENCE` says, for machines
/// that are emulated.
pub fn patience() -> Duration {
    static SECONDS: LazyLock<u64> = LazyLock::new(|| {
        let said = std::env::var("UMBRA_PATIENCE").ok();
        said.and_then(|said| said.parse().ok()).unwrap_or(15)
    });
    Duration::from_secs(*SECONDS)
}

/// Asks again and again until there is an answer; fails with `what` when none comes in time.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    in_time(ask).unwrap_or_else(|| panic!("not within {:?}: {what}", patience()))
}

fn in_time<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience();
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() > deadline {
            return answer;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
