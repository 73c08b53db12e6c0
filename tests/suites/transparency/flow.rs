//! Bytes on their way: single ones, segments of every size, paths that are narrow, and readers that are slow.

use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use support::eventually;

use crate::{
    scene::{Scene, Way},
    side::Side,
};

/// More than all buffers between two processes hold together.
const MUCH: usize = 64 << 20;

fn noise(length: usize) -> Vec<u8> {
    let mut noise = vec![0; length];
    fastrand::Rng::with_seed(11).fill(&mut noise);
    noise
}

/// Writes until nothing has been taken for a while, or so much was; returns how much.
pub(crate) fn until_it_stalls(side: &mut Side, most: usize) -> usize {
    side.stream.set_nonblocking(true).unwrap();
    let (noise, mut said, mut last) = (noise(1 << 16), 0, Instant::now());
    while said < most && last.elapsed() < Duration::from_millis(300) {
        match side.stream.write(&noise[said % noise.len()..]) {
            Ok(count) => (said, last) = (said + count, Instant::now()),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
    side.stream.set_nonblocking(false).unwrap();
    said
}

/// The writer is stopped by a reader that does not read; nothing is lost meanwhile.
fn held_back(writer: &mut Side, reader: &mut Side) -> (bool, bool, String) {
    let said = until_it_stalls(writer, MUCH);
    writer.ends();
    let (heard, end) = reader.hears_out();
    let noise = noise(1 << 16);
    let intact = heard.len() == said && heard.chunks(noise.len()).all(|chunk| chunk == &noise[..chunk.len()]);
    (said < MUCH, intact, end)
}

#[test]
fn a_slow_reader_holds_its_writer_back() {
    let scene = Scene::new();
    scene.same("a client that does not read", |way| {
        let (mut client, mut app) = way.pair();
        held_back(&mut app, &mut client)
    });
    scene.same("an app that does not read", |way| {
        let (mut client, mut app) = way.pair();
        held_back(&mut client, &mut app)
    });
}

#[test]
fn single_bytes_and_segments_of_every_size_arrive_as_they_were_sent() {
    let scene = Scene::new();
    scene.same("single bytes, each waited for", |way| {
        let (mut client, mut app) = way.pair();
        let echoed = |byte: u8| {
            client.says([byte]);
            let heard = app.hears(1);
            app.says(&heard);
            client.hears(1)[0]
        };
        noise(300).into_iter().map(echoed).collect::<Vec<_>>() == noise(300)
    });
    scene.same("single bytes, one after the other", |way| {
        let (mut client, mut app) = way.pair();
        let sent = noise(20_000);
        thread::scope(|scope| {
            scope.spawn(|| sent.iter().for_each(|byte| client.says([*byte])));
            app.hears(sent.len()) == sent
        })
    });
    // Around one, two and three segments of Ethernet and one of loopback, with and without options.
    let around = |size: usize| size - 33..size + 34;
    let sizes: Vec<usize> =
        [1460, 2920, 4380].into_iter().flat_map(around).step_by(3).chain(65_400..65_550).step_by(5).collect();
    scene.same("segments of every size", |way| {
        let (mut client, mut app) = way.pair();
        sizes.iter().all(|size| {
            let sent = noise(*size);
            client.says(&sent);
            let there = app.hears(*size) == sent;
            app.says(&sent);
            there && client.hears(*size) == sent
        })
    });
}

#[test]
fn a_path_narrower_than_both_ends_is_found_out() {
    let scene = Scene::new();
    for (client, family) in [(scene.client.ip(), ""), (scene.client.ip6(), "-6 ")] {
        scene.node.netns().ip(&format!("{family}route add {client} via {client} mtu lock 1300"));
    }
    scene.same("a path of 1300 bytes", |way| {
        let (mut client, mut app) = way.pair();
        let sent = noise(200_000);
        let back = thread::scope(|scope| {
            scope.spawn(|| app.says(&sent));
            client.hears(sent.len()) == sent
        });
        let there = thread::scope(|scope| {
            scope.spawn(|| client.says(&sent));
            app.hears(sent.len()) == sent
        });
        // Whoever sent it learned it from the router.
        eventually("a narrower path", || knows_a_narrow_path(way).then_some(()));
        (there, back)
    });
}

fn knows_a_narrow_path(way: Way<'_>) -> bool {
    let client = way.client_ip().to_string();
    let route = way.app.netns().command("ip").args(["route", "get", &client]).output().unwrap();
    String::from_utf8_lossy(&route.stdout).contains("mtu 1300")
}
