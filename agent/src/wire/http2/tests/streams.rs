//! Streams: open, half closed, reset, refused, pushed.

use super::*;

fn heads(events: &[Event]) -> Vec<u64> {
    events
        .iter()
        .filter_map(|event| if let Event::RequestHead(id, _) = event { Some(*id) } else { None })
        .collect()
}

fn ends(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

#[test]
fn exchanges_run_side_by_side() {
    let steps = [
        client([headers(1, END_HEADERS, &POST), headers(3, END_HEADERS, &POST), data(3, 0, "b")].concat()),
        server(headers(3, END_HEADERS, &OK)),
        client([data(1, END_STREAM, "a"), headers(5, ALONE, &GET)].concat()),
        server([headers(5, ALONE, &OK), data(3, END_STREAM, "early"), headers(1, ALONE, &OK)].concat()),
        client(data(3, END_STREAM, "b")),
    ];
    let events = after(steps.clone());
    assert_eq!(heads(&events), [1, 3, 5]);
    assert_eq!(ends(&events, |event| matches!(event, Event::RequestEnd(..))), 3);
    assert_eq!(ends(&events, |event| matches!(event, Event::ResponseEnd(..))), 3);
    // The early answer did not end the request that was still being sent.
    assert!(matches!(events.last(), Some(Event::RequestEnd(3, _, wire)) if *wire > 20));
    assert!(reader(&talk(steps)).idle());
}

#[test]
fn a_reset_cuts_its_exchange_alone() {
    let open = client([headers(1, END_HEADERS, &POST), headers(3, ALONE, &GET)].concat());
    for (step, cut) in [(client(reset(1)), Cut::ByClient), (server(reset(1)), Cut::ByApp)] {
        let rest = server([data(1, 0, "late"), headers(1, ALONE, &OK), headers(3, ALONE, &OK)].concat());
        // What was on its way when the stream was reset is ignored, and so are a second reset and late trailers.
        let late = client([data(1, 0, "late"), headers(1, ALONE, &[("x", "1")]), reset(1)].concat());
        let steps = [open.clone(), step, rest, late];
        let events = after(steps.clone());
        assert_eq!(events[3], Event::Cut(1, cut));
        assert!(matches!(events[4..], [Event::ResponseHead(3, _), Event::ResponseEnd(3, _)]), "{events:?}");
        assert!(reader(&talk(steps)).idle());
    }
    // After its answer, the server needs no more of the request (RFC 9113 §8.1).
    let steps = [client(headers(1, END_HEADERS, &POST)), server([headers(1, ALONE, &OK), reset(1)].concat())];
    assert_eq!(after(steps).last(), Some(&Event::Cut(1, Cut::ByApp)));
    // After both it says nothing new.
    let whole = [client(headers(1, ALONE, &GET)), server(headers(1, ALONE, &OK)), client(reset(1))];
    assert!(matches!(after(whole).last(), Some(Event::ResponseEnd(1, _))));
}

#[test]
fn what_comes_after_the_end_of_a_message_cuts_the_exchange() {
    for more in [data(1, 0, ""), data(1, 0, "x"), headers(1, ALONE, &[("x", "1")])] {
        let events = after([client([headers(1, ALONE, &GET), more].concat())]);
        assert_eq!(events[2], Event::Cut(1, Cut::Doubt(Skipped::AfterEnd)));
    }
}

#[test]
fn a_goaway_refuses_the_streams_above() {
    let open = client([headers(1, END_HEADERS, &POST), headers(3, END_HEADERS, &POST)].concat());
    let steps = [
        open,
        server(goaway(0x7fff_ffff)),
        client(headers(5, ALONE, &GET)),
        server(goaway(3)),
        client([headers(7, ALONE, &GET), data(3, END_STREAM, "x"), data(5, 0, "x"), goaway(0)].concat()),
        server([headers(3, ALONE, &OK), headers(1, ALONE, &OK)].concat()),
        client(data(1, END_STREAM, "")),
    ];
    let events = after(steps.clone());
    assert_eq!(heads(&events), [1, 3, 5]);
    assert!(events.contains(&Event::Cut(5, Cut::ByApp)));
    assert!(events.contains(&Event::Skipped(Skipped::AfterGoaway)));
    assert_eq!(ends(&events, |event| matches!(event, Event::RequestEnd(1 | 3, ..))), 2);
    assert_eq!(ends(&events, |event| matches!(event, Event::ResponseEnd(1 | 3, _))), 2);
    assert!(reader(&talk(steps)).idle());
}

#[test]
fn pushed_streams_are_passed_over() {
    let open = client(headers(1, ALONE, &GET));
    let pushed = [
        promise(1, 2),
        promise(1, 4),
        headers(2, END_HEADERS, &OK),
        data(2, END_STREAM, "pushed"),
        headers(1, ALONE, &OK),
    ];
    let steps = [open, server(pushed.concat())];
    assert!(!reader(&talk(steps.clone())).idle(), "one is still pushed");
    let steps = steps.into_iter().chain([client(reset(4))]).collect::<Vec<_>>();
    let events = after(steps.clone());
    assert!(matches!(events[..], [_, _, Event::ResponseHead(1, _), Event::ResponseEnd(1, _)]), "{events:?}");
    assert!(reader(&talk(steps)).idle());
}

#[test]
fn the_end_of_a_side_ends_what_hangs_on_it() {
    let open = client([headers(1, END_HEADERS, &POST), headers(3, ALONE, &GET)].concat());
    let steps = [open.clone(), Step::ClientEof, server(headers(3, ALONE, &OK)), Step::ServerEof];
    let events = after(steps);
    assert_eq!(events[3], Event::Cut(1, Cut::ByClient));
    assert!(matches!(events[4..], [Event::ResponseHead(3, _), Event::ResponseEnd(3, _)]), "{events:?}");

    let events = after([open, server(headers(3, END_HEADERS, &OK)), Step::ServerEof]);
    assert_eq!(events[4..], [Event::Cut(1, Cut::ByApp), Event::Cut(3, Cut::ByApp)]);
    assert_eq!(after([Step::ClientEof, Step::ServerEof]), []);
    assert_eq!(read(&[client(PREFACE), Step::ClientEof, Step::ServerEof]), []);
}

#[test]
fn a_connection_is_idle_when_no_stream_is_open() {
    let table = [
        (vec![], true),
        (vec![client(frame(6, 0, 0, &[0; 8]))], true),
        (vec![client(&frame(6, 0, 0, &[0; 8])[..10])], false),
        (vec![client([0])], false),
        (vec![client(headers(1, ALONE, &GET))], false),
        (vec![client(headers(1, END_STREAM, &GET))], false),
        (vec![client(headers(1, ALONE, &GET)), server(headers(1, ALONE, &OK))], true),
        // A request that is passed over is open as any other.
        (vec![client(headers(1, ALONE, &[("x", "1")]))], false),
        (vec![client(headers(1, ALONE, &[("x", "1")])), server(headers(1, ALONE, &OK))], true),
        (vec![client(headers(1, ALONE, &[("x", "1")])), server(reset(1))], true),
    ];
    for (steps, idle) in table {
        assert_eq!(reader(&talk(steps.clone())).idle(), idle, "{steps:?}");
    }
}

#[test]
fn a_frame_can_be_put_between_two_of_the_server() {
    let frames = |idle, last| Place::Frames { idle, last };
    let get = client(headers(1, ALONE, &GET));
    let table = [
        (vec![], frames(true, 0)),
        (vec![get.clone()], frames(false, 1)),
        (vec![get.clone(), server(&headers(1, END_HEADERS, &OK)[..10])], Place::Within),
        (vec![get.clone(), server(headers(1, 0, &OK))], Place::Within),
        (vec![get.clone(), server(headers(1, END_HEADERS, &OK))], frames(false, 1)),
        (vec![get.clone(), server(headers(1, ALONE, &OK))], frames(true, 1)),
        (vec![get.clone(), server(headers(1, ALONE, &OK)), client([0])], frames(false, 1)),
    ];
    for (steps, place) in table {
        assert_eq!(reader(&talk(steps.clone())).place(), place, "{steps:?}");
    }
    assert_eq!(
        reader(&[client(PREFACE), client(settings(&[]))]).place(),
        Place::Within,
        "SETTINGS are first"
    );
}

#[test]
fn a_server_may_speak_first() {
    let early = [settings(&[(3, 100)]), frame(8, 0, 0, &[0, 1, 0, 0])].concat();
    let greeting = [PREFACE, &settings(&[]), &ack(), &headers(1, ALONE, &GET)].concat();
    let answer = [ack(), headers(1, ALONE, &OK)].concat();
    let whole = [server(&early), client(&greeting), server(&answer)];
    assert!(matches!(read(&whole).last(), Some(Event::ResponseEnd(1, _))));
    let pieces = [
        server(&early[..3]),
        client(&greeting[..3]),
        server(&early[3..]),
        client(&greeting[3..30]),
        client(&greeting[30..]),
        server(&answer),
    ];
    assert_eq!(read(&pieces), read(&whole));
    for other in [client("GET / HTTP/1.1\r\n"), server(vec![0; 600]), server("220 mail")] {
        assert_eq!(
            doubt(&[server(&early[..if matches!(other, Step::Server(_)) { 3 } else { 9 }]), other]),
            Some(Unread::Opaque)
        );
    }
}
