//! The pipe between the threads: order, budget and memory.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http_body::Body;
use proptest::prelude::*;

use super::{Account, MirrorKey, RuleKey, Slice, push};
use crate::{
    config::umbra::Queue,
    record::DropReason,
    shadow::{
        Feed, Load,
        body::{CopyBody, Lent, Source, Stopped},
        budget::{Budget, Part},
        feed::Pipe,
    },
};

fn pipe(bytes: usize, bytes_per_request: usize) -> (Arc<Budget>, Feed, Source) {
    let budget = Arc::new(Budget::new(Queue { requests: 1, bytes, bytes_per_request }));
    let rule = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() }.into();
    let account = Arc::new(Account::new(MirrorKey { rule, mirror: "my-app:80".into() }));
    let pipe = Arc::new(Pipe::new(Part::new(&budget, &account), false, false, None));
    (budget, Feed::new(&pipe), Source::new(pipe))
}

/// The next bytes, None while there are none, an error once there will be none.
fn next(body: &mut CopyBody) -> Option<Result<Lent, Stopped>> {
    match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => Some(Ok(frame.into_data().unwrap())),
        Poll::Ready(Some(Err(stopped))) => Some(Err(stopped)),
        Poll::Ready(None) | Poll::Pending => None,
    }
}

#[test]
fn a_body_that_trickles_in_costs_its_bytes_and_pins_no_chunk() {
    let (budget, mut feed, source) = pipe(1 << 20, 1 << 20);
    let chunk = Bytes::from(vec![b'x'; 60_000]);
    for at in 0..chunk.len() {
        feed.data(Slice::new(&chunk, at, at + 1));
    }
    assert!(chunk.is_unique(), "small pieces must be copied");
    let mut body = source.body();
    let pieces: Vec<_> =
        std::iter::from_fn(|| next(&mut body)).map(|lent| lent.unwrap().remaining()).collect();
    assert_eq!(pieces.iter().sum::<usize>(), 60_000);
    assert!(pieces.len() <= 4, "{} pieces", pieces.len());

    push(&mut feed, &chunk);
    assert!(!chunk.is_unique(), "large pieces must be shared");
    drop((source, body, feed));
    assert_eq!(budget.load(), Load::default());
}

#[test]
fn bytes_count_until_they_are_written() {
    let (budget, mut feed, source) = pipe(100, 100);
    let mut body = source.body();
    push(&mut feed, &Bytes::from_static(&[0; 60]));
    let lent = next(&mut body).unwrap().unwrap();
    assert_eq!(budget.load().bytes, 60);
    push(&mut feed, &Bytes::from_static(&[0; 40]));
    assert_eq!(budget.load().bytes, 100);
    drop(lent);
    assert_eq!(budget.load().bytes, 40);

    // Over its budget the copy gives back what is queued at once, the rest with its end.
    let lent = next(&mut body).unwrap().unwrap();
    push(&mut feed, &Bytes::from_static(&[0; 10]));
    push(&mut feed, &Bytes::from_static(&[0; 51]));
    assert_eq!(budget.load().bytes, 40);
    assert!(next(&mut body).unwrap().is_err());
    drop(source);
    assert_eq!(budget.load().bytes, 0);
    drop(lent);
    assert_eq!(budget.load().bytes, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Take,
    Write,
    End,
    Abandon,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..20_000).prop_map(Step::Push),
        3 => Just(Step::Take),
        3 => Just(Step::Write),
        1 => Just(Step::End),
        1 => Just(Step::Abandon),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_order_holds_and_every_byte_is_given_back(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        const LIMIT: usize = 50_000;
        let (budget, feed, source) = pipe(LIMIT, LIMIT);
        let (mut feed, mut source) = (Some(feed), Some(source));
        let mut body = source.as_ref().unwrap().body();
        let chunk: Bytes = (0..20_000u32).map(|i| (i % 251) as u8).collect();
        let (mut lent, mut pushed, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Push(len) => if let Some(feed) = &mut feed {
                    feed.data(Slice::new(&chunk, 0, len));
                    pushed.extend_from_slice(&chunk[..len]);
                },
                Step::Take => if let Some(Ok(bytes)) = next(&mut body) {
                    taken.extend_from_slice(bytes.chunk());
                    lent.push(bytes);
                },
                Step::Write => drop(lent.pop()),
                Step::End => if let Some(feed) = feed.take() { assert!(feed.end(None).is_none()) },
                Step::Abandon => if let Some(feed) = feed.take() { feed.abandon(DropReason::Unread) },
                Step::Close => drop(source.take()),
            }
            prop_assert!(budget.load().bytes <= LIMIT);
            prop_assert!(pushed.starts_with(&taken));
        }
        drop((feed, source, lent));
        prop_assert_eq!(budget.load(), Load::default());
    }
}
