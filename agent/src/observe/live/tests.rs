use super::{outbox::LINES, *};
use crate::{
    observe::testing::{copy, primary},
    record::Outcome,
};

fn seen(path: &str) -> Arc<Seen> {
    Seen::new(primary("GET", path, 200), Some(copy(Outcome::Completed { status: 200 }))).into()
}

fn live() -> (Arc<Live>, Arc<Interest>) {
    let interest = Arc::default();
    (Live::new(&interest), interest)
}

async fn path(tap: &mut Tap) -> String {
    match tap.next().await {
        Some(Item::Line(seen)) => seen.primary.text.as_ref().unwrap().path().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_looks_on_is_told_what_it_asked_for_as_long_as_it_does() {
    let (live, interest) = live();
    assert!(!live.is_open() && !interest.is_any());
    let mut filter = Filter::default();
    filter.add("path", "/b").unwrap();
    let (mut all, mut some) = (live.tap(Filter::default()).unwrap(), live.tap(filter).unwrap());
    assert!(live.is_open() && interest.is_any());
    ["/a", "/b"].iter().for_each(|path| live.offer(&seen(path)));
    live.hand_out();
    assert_eq!(
        (path(&mut all).await, path(&mut all).await, path(&mut some).await),
        ("/a".into(), "/b".into(), "/b".into())
    );
    assert_eq!(
        (live.keeps(), live.last(1, &Filter::default()).len(), live.last(9, &Filter::default()).len()),
        (MOST_KEPT, 1, 2)
    );

    live.offer(&seen("/c"));
    drop((all, some));
    assert!(!live.is_open() && !interest.is_any() && live.keeps() == 0);
    assert!(live.last(9, &Filter::default()).is_empty() && live.queue.take().is_none(), "nothing is left");
}

#[tokio::test]
async fn a_slow_reader_finds_how_many_lines_are_missing_where_they_are() {
    let (live, _) = live();
    let mut slow = live.tap(Filter::default()).unwrap();
    let offer = |count| (0..count).for_each(|n| live.offer(&seen(&format!("/{n}"))));
    offer(LINES + 7);
    live.hand_out();
    assert_eq!(path(&mut slow).await, "/0");
    offer(1);
    live.hand_out();
    for n in 1..LINES {
        assert_eq!(path(&mut slow).await, format!("/{n}"));
    }
    assert!(matches!(slow.next().await, Some(Item::Dropped(7))));
    assert_eq!(path(&mut slow).await, "/0");
    assert_eq!((live.sent.load(Relaxed), live.dropped.load(Relaxed)), (LINES as u64 + 1, 7));

    // More at once than the way to the view holds.
    offer(QUEUE + 5);
    live.hand_out();
    for n in 0..LINES {
        assert_eq!(path(&mut slow).await, format!("/{n}"));
    }
    let lost = (QUEUE - LINES + 5) as u64;
    assert!(matches!(slow.next().await, Some(Item::Dropped(found)) if found == lost));
    live.close();
    assert!(slow.next().await.is_none());
    assert!(live.tap(Filter::default()).is_none());
}

#[tokio::test]
async fn there_are_as_many_clients_as_places() {
    let (live, _) = live();
    let mut taps: Vec<_> = (0..CLIENTS).map(|_| live.tap(Filter::default()).unwrap()).collect();
    assert!(live.tap(Filter::default()).is_none());
    taps.pop();
    assert!(live.tap(Filter::default()).is_some());
}

#[test]
fn the_last_ones_are_kept_within_their_bounds() {
    let (live, interest) = live();
    live.keep(3);
    assert!(interest.is_any() && live.keeps() == 3);
    (0..5).for_each(|n| live.offer(&seen(&format!("/{n}"))));
    let last = live.last(2, &Filter::default());
    assert_eq!(
        last.iter().map(|seen| seen.primary.text.as_ref().unwrap().path()).collect::<Vec<_>>(),
        ["/3", "/4"]
    );
    assert_eq!(live.last(9, &Filter::default()).len(), 3);

    live.desk().keep = MOST_KEPT;
    let long = format!("/{}", "x".repeat(2000));
    (0..2 * MOST_KEPT).for_each(|_| live.offer(&seen(&long)));
    live.hand_out();
    let desk = live.desk();
    assert!(desk.kept_bytes <= KEPT_BYTES && desk.kept.len() < MOST_KEPT, "{}", desk.kept_bytes);
    drop(desk);
    assert!(live.desk().kept.iter().all(|seen| seen.line().len() < 2 * seen.weight()));
}
