//! Frames no peer should send, and floods of those it may: read as a strict server would, or not at all; never at
//! the cost of memory.

use super::*;

/// Why this client's connection was not read to its end.
fn refused(sent: impl AsRef<[u8]>) -> Option<Unread> {
    doubt(&talk([client(sent)]))
}

#[test]
fn what_a_strict_server_would_close_the_connection_for_ends_the_reading() {
    use Unread::*;
    let get = || headers(1, ALONE, &GET);
    let table = [
        // Lengths.
        (frame(0, 0, 1, &vec![0; 16_385]), FrameSize),
        (frame(0xff, 0, 1, &vec![0; 16_385]), FrameSize),
        ([get(), frame(3, 0, 1, &[0; 5])].concat(), FrameSize),
        (frame(4, 0, 0, &[0; 5]), FrameSize),
        (frame(4, 1, 0, &[0; 6]), FrameSize),
        (frame(6, 0, 0, &[0; 7]), FrameSize),
        (frame(7, 0, 0, &[0; 7]), FrameSize),
        (frame(8, 0, 0, &[0; 3]), FrameSize),
        ([headers(1, END_HEADERS, &POST), frame(0, PADDED, 1, &[])].concat(), FrameSize),
        (frame(1, ALONE | PADDED, 1, &[]), FrameSize),
        (frame(1, ALONE | PRIORITY, 1, &[0; 4]), FrameSize),
        // Padding.
        ([headers(1, END_HEADERS, &POST), frame(0, PADDED, 1, &[1])].concat(), Padding),
        ([headers(1, END_HEADERS, &POST), frame(0, PADDED, 1, &[3, 0, 0])].concat(), Padding),
        (frame(1, ALONE | PADDED, 1, &[1]), Padding),
        (frame(1, ALONE | PADDED | PRIORITY, 1, &[3, 0, 0, 0, 0, 0, 0, 0]), Padding),
        // Streams.
        (headers(0, ALONE, &GET), FrameStream),
        (data(0, 0, "x"), FrameStream),
        (reset(0), FrameStream),
        (frame(2, 0, 0, &[0; 5]), FrameStream),
        (frame(9, END_HEADERS, 0, &[]), FrameStream),
        (frame(4, 0, 1, &[]), FrameStream),
        (frame(6, 0, 1, &[0; 8]), FrameStream),
        (frame(7, 0, 1, &[0; 8]), FrameStream),
        (headers(2, ALONE, &GET), FrameStream),
        (data(2, 0, "x"), FrameStream),
        (data(1, 0, "x"), FrameStream),
        (reset(1), FrameStream),
        (reset(2), FrameStream),
        ([get(), data(3, 0, "x")].concat(), FrameStream),
        ([get(), promise(1, 2)].concat(), FrameStream),
        ([headers(3, ALONE, &GET), get()].concat(), StreamReused),
        ([get(), reset(1), get()].concat(), StreamReused),
        // Header blocks.
        (frame(9, END_HEADERS, 1, &[]), Continuation),
        ([headers(1, END_STREAM, &GET), frame(6, 0, 0, &[0; 8])].concat(), Continuation),
        ([headers(1, END_STREAM, &GET), headers(3, ALONE, &GET)].concat(), Continuation),
        ([headers(1, END_STREAM, &GET), continuation(3, END_HEADERS, &[])].concat(), Continuation),
        ([get(), continuation(1, END_HEADERS, &[])].concat(), Continuation),
        (frame(1, ALONE, 1, &[0xbe]), Hpack),
        (frame(1, ALONE, 1, &[0x80]), Hpack),
        (frame(1, ALONE, 1, &[0x82, 0x20]), Hpack),
        (frame(1, ALONE, 1, &[0x3f, 0xff, 0xff, 0xff, 0xff, 0x7f]), Hpack),
        (frame(1, ALONE, 1, &[0x3f, 0xe2, 0x1f]), HpackTable),
        // Settings.
        (settings(&[(5, 16_383)]), Settings),
        (settings(&[(5, 1 << 24)]), Settings),
        (settings(&[(2, 2)]), Settings),
        (settings(&[(4, 1 << 31)]), Settings),
        (ack(), Settings),
        (PREFACE.to_vec(), FrameSize),
    ];
    for (sent, reason) in table {
        assert_eq!(refused(&sent), Some(reason), "{}", sent.escape_ascii());
    }
}

#[test]
fn what_a_strict_client_would_close_the_connection_for_ends_the_reading() {
    use Unread::*;
    let table = [
        (headers(3, ALONE, &OK), FrameStream),
        (headers(2, ALONE, &OK), FrameStream),
        (data(2, 0, "x"), FrameStream),
        (reset(3), FrameStream),
        (promise(3, 2), FrameStream),
        (promise(1, 3), FrameStream),
        ([promise(1, 4), promise(1, 2)].concat(), FrameStream),
        (frame(5, END_HEADERS, 1, &[0; 3]), FrameSize),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), FrameSize),
    ];
    for (sent, reason) in table {
        let steps = talk([client(headers(1, ALONE, &GET)), server(&sent)]);
        assert_eq!(doubt(&steps), Some(reason), "{}", sent.escape_ascii());
    }
}

#[test]
fn a_side_that_does_not_begin_with_settings_is_not_read() {
    let greeting = [PREFACE, &settings(&[])].concat();
    for answer in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), ack(), headers(1, ALONE, &OK), goaway(0)] {
        assert_eq!(doubt(&[client(&greeting), server(answer)]), Some(Unread::NotHttp2));
    }
    assert_eq!(doubt(&[client([PREFACE, &headers(1, ALONE, &GET)].concat())]), Some(Unread::NotHttp2));
}

/// RFC 9113 §5.5 and §6.5.
#[test]
fn what_is_unknown_is_passed_over() {
    let priority_update = frame(0x10, 0, 0, &[0, 0, 0, 1, b'u']);
    let unknown = frame(0xfa, 0xff, 0x7fff_ffff, b"grease");
    let settings = settings(&[(0xfafa, u32::MAX), (6, 1), (8, 1)]);
    let window = frame(8, 0, 9, &[0, 0, 0, 1]);
    let priority = frame(2, 0, 9, &[0; 5]);
    let odd_flags = headers(1, ALONE | 0xd2 & !PADDED, &GET);
    let reserved_bit = data(0x8000_0003, END_STREAM, "x");
    let sent = [
        priority_update,
        unknown,
        settings,
        window,
        priority,
        odd_flags,
        headers(3, END_HEADERS, &POST),
        reserved_bit,
    ];
    let events = after([client(sent.concat()), server(ack())]);
    assert!(matches!(events.last(), Some(Event::RequestEnd(3, ..))), "{events:?}");
}

#[test]
fn a_frame_may_be_as_long_as_its_receiver_allows() {
    let post = || client(headers(1, END_HEADERS, &POST));
    let long = || client(data(1, END_STREAM, vec![0; 20_000]));
    let allow = || server(settings(&[(5, 20_000)]));
    assert_eq!(doubt(&talk([post(), long()])), Some(Unread::FrameSize));
    // Said and not yet acknowledged: a client that has read it may already follow.
    assert_eq!(doubt(&talk([post(), allow(), long()])), None);
    assert_eq!(doubt(&talk([post(), allow(), client(ack()), long()])), None);
    let back = [post(), allow(), client(ack()), server(settings(&[(5, 16_384)]))];
    assert_eq!(doubt(&talk(back.clone().into_iter().chain([long()]))), None);
    assert_eq!(doubt(&talk(back.into_iter().chain([client(ack()), long()]))), Some(Unread::FrameSize));
    // What the client allows is for the server.
    assert_eq!(
        doubt(&talk([client(settings(&[(5, 20_000)])), server(ack()), post(), long()])),
        Some(Unread::FrameSize)
    );
}

/// The most bytes of heap that were held at any moment.
fn most_held(steps: impl IntoIterator<Item = Step>) -> (usize, Vec<Event>) {
    let mut http2 = Http2::default();
    let mut sink = Recorder::default();
    let mut most = 0;
    let greeting = [client(settings(&[])), server([settings(&[]), ack()].concat()), client(ack())];
    for step in greeting.into_iter().chain(steps) {
        let read = match &step {
            Step::Client(bytes) => http2.request(&Bytes::copy_from_slice(bytes), &mut sink),
            Step::Server(bytes) => http2.response(&Bytes::copy_from_slice(bytes), &mut sink),
            Step::ClientEof | Step::ServerEof => Ok(()),
        };
        let direction = |it: &Direction| it.frames.heap() + it.block.as_ref().map_or(0, Block::heap);
        most = most.max(direction(&http2.client) + direction(&http2.server) + http2.streams.heap());
        if let Err(reason) = read {
            sink.events.push(Event::Unread(reason));
            break;
        }
    }
    (most, sink.events)
}

#[test]
fn floods_without_progress_cost_no_memory() {
    let many = |what: Vec<u8>| client(what.repeat(1000));
    let ping = frame(6, 0, 0, &[0; 8]);
    let (held, events) =
        most_held([many(ping), many(frame(8, 0, 0, &[0, 0, 0, 1])), many(frame(0xfa, 0, 0, &[]))]);
    assert_eq!((held, events), (0, vec![]));

    let (held, events) = most_held([client(headers(1, END_HEADERS, &POST)), many(data(1, 0, ""))]);
    assert!(held < 1000 && events.len() == 1, "{held} {events:?}");

    // Acknowledged settings may go on for ever, others not.
    let settled = (0..1000).flat_map(|_| [client(settings(&[(1, 4096)])), server(ack())]);
    assert_eq!(most_held(settled), (0, vec![]));
    let (_, events) = most_held([many(settings(&[]))]);
    assert_eq!(events, [Event::Unread(Unread::SettingsUnacknowledged)]);
}

#[test]
fn rapid_resets_cost_no_memory() {
    let request = |at: u32| client([headers(2 * at + 1, ALONE, &GET), reset(2 * at + 1)].concat());
    let (held, events) = most_held((0..20_000).map(request));
    assert!(held < 1000, "{held}");
    assert_eq!(events.len(), 60_000);
    // The server resets what the client provokes (CVE-2025-8671).
    let provoked = |at: u32| [client(headers(2 * at + 1, ALONE, &GET)), server(reset(2 * at + 1))];
    let (held, _) = most_held((0..1000).flat_map(provoked));
    assert!(held < 1000, "{held}");
}

#[test]
fn streams_are_bounded() {
    let open = |count: u32| (0..count).map(|at| client(headers(2 * at + 1, ALONE, &GET)));
    let most = u32::try_from(STREAMS_MAX).unwrap();
    let (held, events) = most_held(open(most));
    assert!(held <= 100 << 10, "{held}");
    assert!(matches!(events.last(), Some(Event::RequestEnd(..))));
    let (_, events) = most_held(open(most + 1));
    assert_eq!(events.last(), Some(&Event::Unread(Unread::TooManyStreams)));
}

#[test]
fn header_blocks_are_bounded() {
    let begun = || client(headers(1, END_STREAM, &GET));
    let flood = (0..100).map(|_| client(continuation(1, 0, &[b'x'; 1000])));
    let (held, events) = most_held(std::iter::once(begun()).chain(flood));
    assert!(held <= 2 * HEAD_MAX, "{held}");
    assert_eq!(events, [Event::Unread(Unread::HeadTooLong)]);
    let empty = (0..10_000).map(|_| client(continuation(1, 0, &[])));
    let (held, events) = most_held(std::iter::once(begun()).chain(empty));
    assert!(held < 1000 && events.is_empty(), "{held} {events:?}");

    // One frame as long as its receiver would allow it.
    let allow = [server(settings(&[(5, 1 << 20)])), client(ack())];
    let (held, events) =
        most_held(allow.into_iter().chain([client(headers(1, ALONE, &[("x", &"y".repeat(100_000))]))]));
    assert_eq!((held, events), (0, vec![Event::Unread(Unread::HeadTooLong)]));
}
