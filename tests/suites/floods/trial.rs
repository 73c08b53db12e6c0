//! One flood after the other through one agent, each measured by itself.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
};

use support::{Agent, Config, Netns, Nginx, Node, Pod, agent, eventually, patience, upstream};

use crate::{bystander::Bystander, meter::Meter, sink};

/// What the agent's memory may grow by, whatever the flood: a head under way (64 KiB), the tables and streams of a
/// connection (1 MiB), the copies' bytes (4 MiB) with what each of them needs, and the blocks the relay reads into.
const GROWTH_MAX: u64 = 16 << 20;

/// What one connection sends.
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    /// What the blocks are.
    pub(crate) counted: &'static str,
    pub(crate) start: Vec<u8>,
    pub(crate) times: u32,
    pub(crate) block: fn(u32) -> Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    Sink,
    Nginx,
    NginxHttp2,
}

/// How much of a flood went out before the app closed.
#[derive(Clone, Copy, Default)]
struct Sent {
    blocks: u32,
    bytes: u64,
}

pub(crate) fn trial(title: &str, app: App, floods: Vec<Flood>, connections: usize) {
    let node = Node::new();
    let (app_pod, shadow) = (node.pod("app"), node.pod("shadow"));
    let (client, other) = (node.pod("client"), node.pod("bystander"));
    let (address, _nginx) = match app {
        App::Sink => (sink::listen(&app_pod), None),
        App::Nginx | App::NginxHttp2 => {
            let nginx = nginx(&app_pod, app == App::NginxHttp2);
            (nginx.address(), Some(nginx))
        }
    };
    let copies = upstream(&shadow).replies("ok").start();
    // The copies have a budget of their own; kept small, it does not hide what a connection costs.
    let config = Config::capture(&app_pod.netns().path(), address)
        .mirror(copies.address(), 100.0)
        .agent("  shadow: {queue: {requests: 256, bytes: 4Mi, bytesPerRequest: 2Mi}}");
    let agent = agent(&node).config(&config).start();
    let bystander = Bystander::start(other.netns(), address, app == App::NginxHttp2);
    // What is made once for all: threads, the pool to the shadow.
    bystander.eventually_answered(50);

    println!("{title}:");
    println!(
        "| flood | sent | MB | growth MiB | CPU ms | CPU ms per 1,000 | CPU ms per MB | bystander's longest wait ms |"
    );
    let mut too_much = Vec::new();
    for flood in floods {
        if !measure(&flood, connections, client.netns(), address, &agent, &bystander) {
            too_much.push(flood.name);
        }
        copies.forget();
    }
    println!("The bystander was answered {} times.", bystander.stop());
    agent.accounting_is_exact();
    assert!(too_much.is_empty(), "more than {GROWTH_MAX} bytes of memory: {too_much:?}");
}

/// Whether memory kept within its bound.
fn measure(
    flood: &Flood,
    connections: usize,
    client: &Netns,
    address: SocketAddr,
    agent: &Agent,
    bystander: &Bystander,
) -> bool {
    bystander.slowest();
    let meter = Meter::start(agent.pid());
    let open: Vec<_> = (0..connections).map(|_| client.connect(address).unwrap()).collect();
    let sent = if connections == 1 { pour(&open[0], flood) } else { drip(&open, flood) };
    // Served while it all still stands.
    bystander.eventually_answered(5);
    for stream in &open {
        let _ = stream.shutdown(Shutdown::Both);
    }
    eventually("every copy of the flood to have ended", || {
        (agent.metrics().sum("umbra_shadow_in_flight") < 0.5).then_some(())
    });
    let cost = meter.stop();

    let (growth, cpu) = (cost.growth as f64 / f64::from(1 << 20), cost.cpu.as_secs_f64() * 1e3);
    let (each, megabytes) = (f64::from(sent.blocks) / 1e3, sent.bytes as f64 / 1e6);
    println!(
        "| {} | {} {} | {megabytes:.1} | {growth:.1} | {cpu:.0} | {:.2} | {:.1} | {} |",
        flood.name,
        sent.blocks,
        flood.counted,
        cpu / each,
        cpu / megabytes,
        bystander.slowest()
    );
    cost.growth <= GROWTH_MAX
}

/// Everything at once, as fast as it is taken; what comes back is thrown away.
fn pour(stream: &TcpStream, flood: &Flood) -> Sent {
    stream.set_write_timeout(Some(patience())).unwrap();
    stream.set_read_timeout(Some(4 * patience())).unwrap();
    thread::scope(|scope| {
        let answers = scope.spawn(|| {
            let (mut stream, mut buffer) = (stream, vec![0; 64 << 10]);
            while let Ok(1..) = stream.read(&mut buffer) {}
        });
        let mut sent = Sent::default();
        let mut pending = flood.start.clone();
        for at in 0..flood.times {
            pending.extend((flood.block)(at));
            let last = at + 1 == flood.times;
            if last || pending.len() >= 64 << 10 {
                let mut stream = stream;
                match stream.write_all(&pending) {
                    Ok(()) => (sent.blocks, sent.bytes) = (at + 1, sent.bytes + pending.len() as u64),
                    Err(error) => {
                        assert!(error.kind() != std::io::ErrorKind::WouldBlock, "{}: stuck", flood.name);
                        break;
                    }
                }
                pending.clear();
            }
        }
        // Until the agent has passed on what it was given: the app's end of the connection is read.
        let _ = stream.shutdown(Shutdown::Write);
        answers.join().unwrap();
        sent
    })
}

/// A byte here and a byte there, for as long as all of them take.
fn drip(open: &[TcpStream], flood: &Flood) -> Sent {
    let mut sent = Sent { blocks: flood.times, bytes: 0 };
    for at in 0..=flood.times {
        let block = if at == 0 { flood.start.clone() } else { (flood.block)(at) };
        for mut stream in open {
            stream.write_all(&block).unwrap();
            sent.bytes += block.len() as u64;
        }
    }
    sent
}

/// With limits that a flood does not meet before the agent has met it. This nginx speaks one protocol on a port.
fn nginx(pod: &Pod, http2: bool) -> Nginx {
    let listen = if http2 { "8080 http2" } else { "8080" };
    let http = format!(
        "access_log off; keepalive_requests 10000000; client_max_body_size 0; \
         server {{ listen {listen}; return 200 ok; }}"
    );
    Nginx::start(pod.netns(), (pod.ip(), 8080).into(), &http)
}
