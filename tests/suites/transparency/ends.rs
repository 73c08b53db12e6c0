//! Every way in which a connection ends: what the other side hears of it, in which order, and in which state it stands.

use std::time::Duration;

use socket2::SockRef;

use crate::{
    flow::until_it_stalls,
    scene::{Scene, Way},
    side::Side,
};

type Probe = fn(Way<'_>) -> Vec<String>;

const ENDINGS: &[(&str, Probe)] = &[
    ("the client ends first and hears the answer", |way| {
        let (mut client, mut app) = way.pair();
        client.says("question");
        client.ends();
        let heard = app.hears_all();
        let states = format!("{} {}", client.is("FIN_WAIT2"), app.is("CLOSE_WAIT"));
        app.says("answer");
        drop(app);
        vec![heard, states, client.hears_all()]
    }),
    ("the app ends first and hears the rest", |way| {
        let (mut client, mut app) = way.pair();
        app.says("greeting");
        app.ends();
        let heard = client.hears_all();
        let states = format!("{} {}", client.is("CLOSE_WAIT"), app.is("FIN_WAIT2"));
        client.says("thanks");
        drop(client);
        vec![heard, states, app.hears_all()]
    }),
    ("both end, then both close", |way| {
        let (mut client, mut app) = way.pair();
        client.says("one");
        app.says("two");
        client.ends();
        app.ends();
        vec![client.hears_all(), app.hears_all()]
    }),
    ("an end takes nothing from what was said before", |way| {
        let (mut client, mut app) = way.pair();
        client.says(vec![b'x'; 300_000]);
        client.ends();
        let (words, end) = app.hears_out();
        vec![words.len().to_string(), end]
    }),
    ("the client leaves without a word", |way| {
        let (client, mut app) = way.pair();
        drop(client);
        vec![app.hears_all()]
    }),
    ("the app leaves without a word", |way| {
        let (mut client, app) = way.pair();
        drop(app);
        vec![client.hears_all()]
    }),
    ("the client resets without a word", |way| {
        let (client, mut app) = way.pair();
        client.resets();
        vec![app.hears_all()]
    }),
    ("the app resets without a word", |way| {
        let (mut client, app) = way.pair();
        app.resets();
        vec![client.hears_all()]
    }),
    ("the client speaks and resets", |way| {
        let (mut client, mut app) = way.pair();
        client.says("question");
        app.could_hear(8);
        client.resets();
        vec![app.hears_all()]
    }),
    ("the app speaks and resets", |way| {
        let (mut client, mut app) = way.pair();
        app.says("answer");
        client.could_hear(6);
        app.resets();
        vec![client.hears_all()]
    }),
    ("the client leaves the answer unread", |way| {
        let (client, mut app) = way.pair();
        app.says("answer");
        client.could_hear(6);
        drop(client);
        vec![app.hears_all()]
    }),
    ("the app leaves the question unread", |way| {
        let (mut client, app) = way.pair();
        client.says("question");
        app.could_hear(8);
        drop(app);
        vec![client.hears_all()]
    }),
    ("the app answers and leaves the rest unread", |way| {
        let (mut client, mut app) = way.pair();
        client.says("question and more");
        app.could_hear(17);
        app.hears(8);
        app.says("answer");
        client.could_hear(6);
        drop(app);
        vec![client.hears_all()]
    }),
    ("the app resets a client that has ended", |way| {
        let (mut client, mut app) = way.pair();
        client.ends();
        let heard = app.hears_all();
        app.resets();
        vec![heard, client.hears_all()]
    }),
    ("the client resets after its end", |way| {
        let (client, mut app) = way.pair();
        client.ends();
        let heard = app.hears_all();
        client.resets();
        vec![heard, app.is("CLOSE").to_owned(), app.talks_until_refused()]
    }),
    ("the app talks on to a client that has left", |way| {
        let (client, mut app) = way.pair();
        drop(client);
        vec![app.hears_all(), app.talks_until_refused()]
    }),
    ("the client talks on to an app that has left", |way| {
        let (mut client, app) = way.pair();
        drop(app);
        vec![client.hears_all(), client.talks_until_refused()]
    }),
    ("SO_LINGER: the app waits until all has arrived", |way| {
        let (mut client, mut app) = way.pair();
        SockRef::from(&app.stream).set_linger(Some(Duration::from_secs(10))).unwrap();
        app.says(vec![b'x'; 50_000]);
        drop(app);
        let (words, end) = client.hears_out();
        vec![words.len().to_string(), end]
    }),
    ("SO_LINGER: all arrives although the app did not wait for long", |way| {
        let (mut client, mut app) = way.pair();
        let said = fill(&mut app);
        SockRef::from(&app.stream).set_linger(Some(Duration::from_secs(1))).unwrap();
        drop(app);
        let (words, end) = client.hears_out();
        vec![(words.len() == said).to_string(), end]
    }),
    ("SO_LINGER of zero: what is on its way is thrown away", |way| {
        let (mut client, mut app) = way.pair();
        let said = fill(&mut app);
        app.resets();
        let (words, end) = client.hears_out();
        vec![(words.len() <= said).to_string(), end]
    }),
];

/// Talks to a side that does not listen until nothing more is taken. Returns how much was.
fn fill(side: &mut Side) -> usize {
    until_it_stalls(side, usize::MAX)
}

#[test]
fn every_ending_reaches_the_other_side_as_it_is() {
    let scene = Scene::new();
    for (what, probe) in ENDINGS {
        scene.same(what, probe);
    }
}
