//! One bad shadow under every load: no primary may fail, every byte must be the same on both sides, memory must stay
//! bounded and the books exact.

use std::any::Any;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::{Agent, AgentBuilder, Config, Metrics, Node, Pod, agent};

use crate::{clients::Load, primary::Primary};

pub(crate) const PLAIN: Load = Load { name: "plain requests", connections: 1, requests: 200, body: 0 };
pub(crate) const UPLOADS: Load =
    Load { name: "100 MiB uploads", connections: 2, requests: 1, body: 100 << 20 };
pub(crate) const PARALLEL: Load =
    Load { name: "1,000 parallel clients", connections: 1000, requests: 5, body: 512 };

/// The most an agent may grow, from before the first request to the worst moment of all loads.
pub(crate) const MOST_GROWTH: u64 = 64 << 20;

/// A shadow and how the agent gets to it.
pub(crate) struct Setting {
    pub(crate) shadow: std::net::SocketAddr,
    /// Dropped after the trial.
    pub(crate) running: Box<dyn Any>,
    /// The shadow is known by this name instead of its address.
    pub(crate) name: Option<&'static str>,
    /// See [`AgentBuilder::after`].
    pub(crate) prelude: String,
    pub(crate) logs: &'static str,
    /// Objects beside those that every trial has.
    pub(crate) objects: &'static str,
    /// What must hold after each load.
    pub(crate) after_each: Box<dyn Fn(&Agent)>,
}

impl Setting {
    pub(crate) fn new(shadow: std::net::SocketAddr, running: impl Any) -> Self {
        Self {
            shadow,
            running: Box::new(running),
            name: None,
            prelude: String::new(),
            logs: "info",
            objects: "",
            after_each: Box::new(|_| {}),
        }
    }
}

pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) client: Pod,
    pub(crate) primary: Primary,
    after_each: Box<dyn Fn(&Agent)>,
    _running: Box<dyn Any>,
    _pods: [Pod; 2],
    _node: Node,
}

impl World {
    pub(crate) fn new(timeout: &str, place: impl FnOnce(&Node, &Pod) -> Setting) -> Self {
        take_all_descriptors();
        let node = Node::new();
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        let primary = Primary::start(&app);
        let setting = place(&node, &shadow);
        let config = Config::capture(&app.netns().path(), primary.address)
            .mirror(setting.shadow, 100.0)
            .agent(&format!("  shadow: {{timeout: {timeout}, connectTimeout: 500ms}}\n"));
        let builder = agent(&node).logs(setting.logs).after(&setting.prelude);
        let agent = configured(builder, &config, &setting).start();
        let Setting { running, after_each, .. } = setting;
        Self { agent, client, primary, after_each, _running: running, _pods: [app, shadow], _node: node }
    }

    /// Runs a load and returns what became of its copies, and the most memory seen meanwhile.
    pub(crate) fn bear(&self, load: Load, heard_before: usize) -> (Metrics, u64) {
        let before = self.agent.metrics();
        let (books, memory) = (self.agent.watch_accounts(), self.agent.watch_memory());
        let failures = load.run(&self.client, self.primary.address);
        assert!(failures.is_empty(), "{}: {} failed, as {:?}", load.name, failures.len(), failures.first());
        assert!(books.stop() > 0);
        self.primary.has_heard(heard_before + load.total());
        self.agent.accounting_is_exact();
        (self.after_each)(&self.agent);
        let after = self.agent.metrics();
        all_are_offered(load, &after, &before);
        (after, memory.stop())
    }
}

/// Every connection is captured and every request on it offered, but for connections that the dead-man switch leaves to
/// the app while the machine stands still for half a second: the kernel counts those.
#[allow(clippy::cast_precision_loss, reason = "thousands")]
fn all_are_offered(load: Load, now: &Metrics, before: &Metrics) {
    let more = |name| now.sum(name) - before.sum(name);
    let (captured, offered) = (more("umbra_connections_total"), more("umbra_shadow_offered_total"));
    let (left, stale) =
        (load.connections as f64 - captured, more("umbra_capture_verdicts_total{verdict=\"stale\"}"));
    assert!((0.0..=stale).contains(&left), "{}: {captured} captured and {stale} left to the app", load.name);
    let asked = captured * load.requests as f64;
    assert!((offered - asked).abs() < 0.5, "{}: {offered} of {asked} offered", load.name);
}

/// What is to become of the copies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    /// All of them are answered, but for uploads that come too fast.
    Completed,
    /// None is answered, and some of them end like this.
    As(&'static str),
}

pub(crate) fn trial(kind: &str, ends: Ends, place: impl FnOnce(&Node, &Pod) -> Setting) {
    // Where copies are to be answered, a busy machine must have the time for it.
    let timeout = if matches!(ends, Ends::Completed) { "15s" } else { "1s" };
    let world = World::new(timeout, place);
    let before = world.agent.memory_at_rest();
    let (mut sent, mut peaks, mut seen) = (0, Vec::new(), Metrics::default());
    for load in [PLAIN, UPLOADS, PARALLEL] {
        let (metrics, peak) = world.bear(load, sent);
        sent += load.total();
        let ends = outcomes(&metrics, &seen);
        println!("{kind:32} {:24} peak {:5.1} MiB  {ends}", load.name, mib(peak, 0));
        peaks.push((load.name, peak));
        seen = metrics;
    }
    let completed = seen.sum("umbra_shadow_outcomes_total{outcome=\"completed\"}");
    match ends {
        Ends::Completed => assert!(completed > 200.0, "{}", outcomes(&seen, &Metrics::default())),
        Ends::As(end) => {
            assert!(completed < 0.5, "{completed} were answered");
            let ended = seen.sum(&format!("umbra_shadow_outcomes_total{{{end}}}"));
            assert!(ended > 0.0, "none ended as {end}: {}", outcomes(&seen, &Metrics::default()));
        }
    }
    let most = mib(peaks.iter().map(|(_, peak)| *peak).max().unwrap_or_default(), before);
    println!("{kind:32} {:24} grew {most:5.1} MiB from {:.1}", "all", mib(before, 0));
    assert!(
        most < mib(MOST_GROWTH, 0),
        "memory grew by {most:.1} MiB ({peaks:?}). 1,000 connections take some 3 MiB of it by themselves (see \
         `what_a_thousand_connections_cost_by_themselves`), two uploads up to 32 MiB (queue.bytesPerRequest)"
    );
}

#[allow(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn mib(now: u64, before: u64) -> f64 {
    now.saturating_sub(before) as f64 / f64::from(1 << 20)
}

/// What came of the copies between two readings.
pub(crate) fn outcomes(now: &Metrics, before: &Metrics) -> String {
    let mut said = Vec::new();
    for sample in now.select("umbra_shadow_outcomes_total") {
        let (outcome, reason) = (&sample.labels["outcome"], &sample.labels["reason"]);
        let earlier =
            before.sum(&format!("umbra_shadow_outcomes_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}"));
        if sample.value > earlier {
            said.push(format!("{outcome}{{{reason}}} {}", sample.value - earlier));
        }
    }
    said.join(", ")
}

fn configured<'a>(builder: AgentBuilder<'a>, config: &Config, setting: &Setting) -> AgentBuilder<'a> {
    let yaml = config.to_yaml(builder.admin()) + setting.objects;
    let Some(name) = setting.name else { return builder.yaml(&yaml) };
    let (rest, shadow) = yaml.split_once("metadata: {name: shadow-0").unwrap();
    let address = format!("'{}'", setting.shadow.ip());
    let shadow = shadow.replacen("resolution: STATIC", "resolution: DNS", 1).replacen(&address, name, 1);
    builder.yaml(&format!("{rest}metadata: {{name: shadow-0{shadow}"))
}

/// A thousand clients and the app they ask are both in this process.
fn take_all_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}
