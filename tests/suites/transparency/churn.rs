//! Very many short connections, ended by either side in each manner.

use std::{
    collections::BTreeMap,
    env,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;
use support::patience;

use crate::{
    scene::{PORTS, Scene, Way},
    side::named,
};

const THREADS: usize = 8;

/// Who ends a connection: the client, the app, or the client by a reset.
const ENDINGS: [&str; 3] = ["closed by the client", "closed by the app", "reset by the client"];

/// How often each thing was seen.
type Tally = BTreeMap<String, usize>;

fn wanted() -> usize {
    env::var("UMBRA_TRANSPARENCY_CONNECTIONS").map_or(4_000, |count| count.parse().unwrap())
}

#[test]
fn a_churn_of_connections_comes_to_the_same() {
    let scene = Scene::new();
    let count = wanted() / 2;
    scene.same("a churn of connections", |way| {
        let begun = Instant::now();
        let other_ports = AtomicUsize::new(0);
        let tally = churn(way, count, &other_ports);
        println!(
            "{count} connections over IPv{} {} in {:.1?}, {} of them with another port of the client: {tally:?}",
            if way.v6 { 6 } else { 4 },
            way.app.netns().name().unwrap_or_default().split('-').nth(1).unwrap_or_default(),
            begun.elapsed(),
            other_ports.into_inner(),
        );
        assert_eq!(tally.values().sum::<usize>(), 2 * count, "{tally:?}");
        tally
    });
}

/// What both sides made of so many connections.
fn churn(way: Way<'_>, count: usize, other_ports: &AtomicUsize) -> Tally {
    let app = way.listen(PORTS.start);
    let (at, over) = (way.at(PORTS.start), AtomicBool::new(false));
    let serve = || way.app.netns().run(|| served(&app, way, &over));
    let ask = |first| {
        let numbers = (first..count).step_by(THREADS);
        let seen = numbers.map(|number| format!("client: {}", asked(at, number % 3, other_ports)));
        way.client.netns().run(|| tallied(seen))
    };
    thread::scope(|scope| {
        let apps: Vec<_> = (0..THREADS).map(|_| scope.spawn(serve)).collect();
        let ask = &ask;
        let clients: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || ask(first))).collect();
        let mut all: Vec<Tally> = clients.into_iter().map(|thread| thread.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        all.extend(apps.into_iter().map(|thread| thread.join().unwrap()));
        all.into_iter().flatten().fold(Tally::new(), |mut tally, (what, count)| {
            *tally.entry(what).or_default() += count;
            tally
        })
    })
}

fn tallied(seen: impl Iterator<Item = String>) -> Tally {
    let mut tally = Tally::new();
    seen.for_each(|what| *tally.entry(what).or_default() += 1);
    tally
}

/// One connection, as its client sees it.
fn asked(app: SocketAddr, ending: usize, other_ports: &AtomicUsize) -> String {
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&app, patience())?;
        stream.set_read_timeout(Some(patience()))?;
        stream.write_all(&[u8::try_from(ending).unwrap()])?;
        // The port by which the app knows this client.
        let mut port = [0; 2];
        stream.read_exact(&mut port)?;
        if u16::from_be_bytes(port) != stream.local_addr()?.port() {
            other_ports.fetch_add(1, Ordering::Relaxed);
        }
        match ending {
            1 => stream.read_to_end(&mut Vec::new()).map(drop),
            2 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            _ => Ok(()),
        }
    };
    ask().map_or_else(|error| named(&error), |()| ENDINGS[ending].to_owned())
}

/// Connections, as the app sees them, one after the other.
fn served(app: &TcpListener, way: Way<'_>, over: &AtomicBool) -> Tally {
    app.set_nonblocking(true).unwrap();
    let next = || loop {
        match app.accept() {
            Ok((stream, peer)) => return Some((stream, peer)),
            Err(_) if over.load(Ordering::Relaxed) => return None,
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    };
    tallied(std::iter::from_fn(next).map(|(stream, peer)| {
        let stranger = if peer.ip() == way.client_ip() { "" } else { " of a stranger" };
        format!("app: {}{stranger}", answered(stream, peer))
    }))
}

fn answered(mut stream: TcpStream, peer: SocketAddr) -> String {
    let mut answer = || -> std::io::Result<usize> {
        stream.set_read_timeout(Some(patience()))?;
        let mut ending = [0];
        stream.read_exact(&mut ending)?;
        stream.write_all(&peer.port().to_be_bytes())?;
        if ending == [1] {
            return Ok(1);
        }
        stream.read_to_end(&mut Vec::new()).map(|_| 0)
    };
    match answer() {
        Ok(ending) => ENDINGS[ending].to_owned(),
        Err(error) if named(&error) == "ECONNRESET" => ENDINGS[2].to_owned(),
        Err(error) => named(&error),
    }
}
