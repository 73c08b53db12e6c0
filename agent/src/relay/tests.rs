use std::{cell::Cell, io::ErrorKind, rc::Rc, task::Context};

use nix::{libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;

/// Everything the tap saw.
#[derive(Debug, Default)]
struct Seen {
    requests: Vec<u8>,
    responses: Vec<u8>,
    request_ended: bool,
    response_ended: bool,
}

impl Tap for Seen {
    fn request(&mut self, chunk: &Bytes) {
        self.requests.extend_from_slice(chunk);
    }
    fn response(&mut self, chunk: &Bytes) {
        self.responses.extend_from_slice(chunk);
    }
    fn request_end(&mut self) {
        self.request_ended = true;
    }
    fn response_end(&mut self) {
        self.response_ended = true;
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// A client and an app with a relay between them.
async fn relayed() -> (TcpStream, TcpStream, JoinHandle<(End, Seen)>) {
    let (client, downstream) = pair().await;
    let (upstream, app) = pair().await;
    let relay = tokio::spawn(async move {
        let mut seen = Seen::default();
        let end = relay(downstream, upstream, &mut seen, &Leaving::default()).await;
        (end, seen)
    });
    (client, app, relay)
}

sockopt_impl!(Linger2, SetOnly, libc::IPPROTO_TCP, libc::TCP_LINGER2, libc::c_int);

fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

#[tokio::test]
async fn both_directions_arrive_byte_for_byte_and_the_tap_sees_them() {
    let (client, app, relay) = relayed().await;
    let (up, down) = (noise(3_000_000), noise(2_000_001));
    let (mut client_in, mut client_out) = client.into_split();
    let (mut app_in, mut app_out) = app.into_split();
    let (mut at_app, mut at_client) = (Vec::new(), Vec::new());
    let (sent_up, sent_down, read_up, read_down) = tokio::join!(
        async {
            client_out.write_all(&up).await?;
            client_out.shutdown().await
        },
        async {
            app_out.write_all(&down).await?;
            app_out.shutdown().await
        },
        app_in.read_to_end(&mut at_app),
        client_in.read_to_end(&mut at_client),
    );
    sent_up.and(sent_down).and(read_up).and(read_down).unwrap();

    let (end, seen) = relay.await.unwrap();
    assert_eq!(end, End::Closed);
    assert!(at_app == up && at_client == down);
    assert!(seen.requests == up && seen.responses == down);
    assert!(seen.request_ended && seen.response_ended);
}

/// Wants to see no more of the app than its first bytes, and counts the rest.
#[derive(Debug, Default)]
struct Counts {
    seen: usize,
    passed: usize,
}

impl Tap for Counts {
    fn request(&mut self, _: &Bytes) {}
    fn response(&mut self, chunk: &Bytes) {
        self.seen += chunk.len();
    }
    fn response_unseen(&self) -> u64 {
        if self.seen > 0 { u64::MAX } else { 0 }
    }
    fn response_passed(&mut self, count: u64) {
        self.passed += usize::try_from(count).unwrap();
    }
    fn request_end(&mut self) {}
    fn response_end(&mut self) {}
}

/// Pipes are of the process, and so of all tests: written by who takes them all.
static PIPES: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// A client, an app that says much, and what the tap has counted at the end.
async fn counted() -> (TcpStream, TcpStream, JoinHandle<(End, Counts)>) {
    let (client, downstream) = pair().await;
    let (upstream, app) = pair().await;
    let relay = tokio::spawn(async move {
        let mut counts = Counts::default();
        let end = relay(downstream, upstream, &mut counts, &Leaving::default()).await;
        (end, counts)
    });
    (client, app, relay)
}

/// Until every buffer on the way is full.
async fn fill(from: &TcpStream) {
    while tokio::time::timeout(std::time::Duration::from_millis(200), from.writable()).await.is_ok() {
        let _ = from.try_write(&[0; 65536]);
    }
}

#[tokio::test]
async fn answers_that_nobody_looks_at_go_through_the_kernel_byte_for_byte() {
    let _pipes = PIPES.read().await;
    let (client, app, relay) = counted().await;
    let (up, down) = (noise(3_000_000), noise(30_000_001));
    let (mut client_in, mut client_out) = client.into_split();
    let (mut app_in, mut app_out) = app.into_split();
    let (mut at_app, mut at_client) = (Vec::new(), Vec::new());
    let (sent_up, sent_down, read_up, read_down) = tokio::join!(
        async {
            client_out.write_all(&up).await?;
            client_out.shutdown().await
        },
        async {
            app_out.write_all(&down).await?;
            app_out.shutdown().await
        },
        app_in.read_to_end(&mut at_app),
        client_in.read_to_end(&mut at_client),
    );
    sent_up.and(sent_down).and(read_up).and(read_down).unwrap();

    let (end, Counts { seen, passed }) = relay.await.unwrap();
    assert_eq!(end, End::Closed);
    assert!(at_app == up && at_client == down);
    assert_eq!(seen + passed, down.len());
    assert!(passed > down.len() / 2, "{passed} were not copied");
}

#[tokio::test]
async fn connections_that_find_no_pipe_left_copy() {
    let _pipes = PIPES.write().await;
    let held: Vec<_> = std::iter::from_fn(pipe::Pipe::lend).take(1000).collect();
    assert!(!held.is_empty() && held.len() < 1000);
    let (mut client, mut app, relay) = counted().await;
    let (down, mut at_client) = (noise(3_000_000), Vec::new());
    let (sent, read) = tokio::join!(
        async {
            app.write_all(&down).await?;
            app.shutdown().await
        },
        client.read_to_end(&mut at_client),
    );
    sent.and(read.map(drop)).unwrap();
    drop((client, app));
    assert!(at_client == down);
    assert_eq!(relay.await.unwrap().1.seen, down.len());
    drop(held);
    assert!(pipe::Pipe::lend().is_some());
}

#[tokio::test]
async fn an_urgent_byte_stops_nothing() {
    let _pipes = PIPES.read().await;
    let (mut client, mut app, relay) = counted().await;
    let down = noise(3_000_000);
    let mut at_client = vec![0; 2 * down.len()];
    let (sent, read) = tokio::join!(
        async {
            app.write_all(&down).await?;
            app.writable().await?;
            assert_eq!(SockRef::from(&app).send_out_of_band(b"!")?, 1);
            app.write_all(&down).await
        },
        client.read_exact(&mut at_client),
    );
    // The app has not closed: nothing but its bytes made the relay look again.
    sent.and(read.map(drop)).unwrap();
    assert!(at_client == [&down[..], &down].concat());
    drop((client, app));
    let counts = relay.await.unwrap().1;
    assert!(counts.passed > 0, "{counts:?}");
}

#[tokio::test]
async fn whoever_resets_while_bytes_wait_in_the_kernel_is_noticed() {
    let _pipes = PIPES.read().await;
    for who in [Peer::Client, Peer::App] {
        let (client, app, relay) = counted().await;
        fill(&app).await;
        let (gone, stays) = if who == Peer::Client { (client, app) } else { (app, client) };
        reset(&gone);
        drop(gone);
        let (end, counts) = relay.await.unwrap();
        assert_eq!(end, End::Reset, "{who:?}");
        assert!(counts.passed > 0, "{counts:?}");
        drop(stays);
    }
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answer() {
    let (mut client, mut app, relay) = relayed().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    app.read_to_end(&mut question).await.unwrap();
    app.write_all(b"answer").await.unwrap();
    drop(app);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!((question.as_slice(), answer.as_slice()), (&b"question"[..], &b"answer"[..]));
    assert_eq!(relay.await.unwrap().0, End::Closed);
}

#[tokio::test]
async fn a_server_may_speak_first() {
    let (mut client, mut app, _relay) = relayed().await;
    app.write_all(b"220 hello").await.unwrap();
    let mut greeting = [0; 9];
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220 hello");
}

#[tokio::test]
async fn a_reset_by_the_client_reaches_the_app() {
    let (client, mut app, relay) = relayed().await;
    reset(&client);
    drop(client);
    let error = app.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(relay.await.unwrap().0, End::Reset);
}

#[tokio::test]
async fn a_reset_by_the_app_reaches_the_client_after_what_it_said() {
    let (mut client, mut app, relay) = relayed().await;
    app.write_all(b"last words").await.unwrap();
    let mut words = [0; 10];
    client.read_exact(&mut words).await.unwrap();
    reset(&app);
    drop(app);
    let error = client.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!((relay.await.unwrap().0, &words), (End::Reset, b"last words"));
}

#[tokio::test]
async fn a_client_that_resets_while_the_app_does_not_read_is_noticed() {
    let (client, app, relay) = relayed().await;
    // So that the relay waits to write.
    fill(&client).await;
    reset(&client);
    drop(client);
    assert_eq!(relay.await.unwrap().0, End::Reset);
    drop(app);
}

#[tokio::test]
async fn an_app_that_closes_while_the_client_still_sends_resets_it_after_the_response() {
    let (mut client, mut app, relay) = relayed().await;
    client.write_all(b"upload").await.unwrap();
    let mut upload = [0; 6];
    app.read_exact(&mut upload).await.unwrap();
    app.write_all(b"413").await.unwrap();
    drop(app);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"413");
    while client.write_all(&[0; 1024]).await.is_ok() {}
    assert_eq!(relay.await.unwrap().0, End::Reset);
}

#[tokio::test]
async fn a_reset_by_the_app_stays_a_reset_when_a_write_meets_it_first() {
    let (mut client, mut app, relay) = relayed().await;
    app.write_all(b"the first half").await.unwrap();
    client.read_exact(&mut [0; 14]).await.unwrap();
    reset(&app);
    drop(app);
    // Before the relay had its turn: its write fails, and takes the socket's error with it.
    client.try_write(b"more").unwrap();
    let error = client.read(&mut [0; 1]).await.expect_err("half an answer must not look whole");
    assert_eq!((relay.await.unwrap().0, error.kind()), (End::Reset, ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_client_that_resets_after_its_end_is_noticed_while_the_app_is_silent() {
    let (mut client, mut app, relay) = relayed().await;
    client.shutdown().await.unwrap();
    assert_eq!(app.read(&mut [0; 1]).await.unwrap(), 0);
    reset(&client);
    drop(client);
    let end = tokio::time::timeout(std::time::Duration::from_secs(5), relay).await;
    assert_eq!(end.expect("the app is told at once").unwrap().0, End::Reset);
    drop(app);
}

#[tokio::test]
async fn an_app_that_has_gone_is_not_kept_open_by_a_client_that_never_closes() {
    let (mut client, mut app, relay) = relayed().await;
    app.write_all(b"goodbye").await.unwrap();
    // Seconds for which its kernel remembers it.
    setsockopt(&app, Linger2, &1).unwrap();
    drop(app);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let end = tokio::time::timeout(std::time::Duration::from_secs(20), relay).await;
    assert_eq!(end.expect("the relay ends").unwrap().0, End::Closed);
}

#[tokio::test]
async fn an_app_that_only_listens_on_is_waited_for() {
    let (mut client, mut app, _relay) = relayed().await;
    app.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    tokio::time::sleep(2 * (GONE_AFTER + GONE_PROBES * GONE_INTERVAL)).await;
    client.write_all(b"late").await.unwrap();
    let mut late = [0; 4];
    app.read_exact(&mut late).await.unwrap();
    assert_eq!(&late, b"late");
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_end_of_an_upload() {
    let (client, downstream) = pair().await;
    let (upstream, app) = pair().await;
    let mut uploaded = 0;
    while let Ok(count) = client.try_write(&[0; 65536]) {
        uploaded += count;
        // Lets the kernel tell whether there is room for more.
        tokio::task::yield_now().await;
    }
    app.try_write(b"early").unwrap();

    let mut order = Order::default();
    let stays = Leaving::default();
    let relaying = relay(downstream, upstream, &mut order, &stays);
    let _ = tokio::time::timeout(std::time::Duration::from_millis(500), relaying).await;

    let before_the_answer = order.before_the_answer.expect("the answer was relayed");
    assert!(before_the_answer < uploaded / 2, "{before_the_answer} of {uploaded} went first");
    drop((client, app));
}

/// How many of the client's bytes were relayed before the app's first.
#[derive(Default)]
struct Order {
    requests: usize,
    before_the_answer: Option<usize>,
}

impl Tap for Order {
    fn request(&mut self, chunk: &Bytes) {
        self.requests += chunk.len();
    }
    fn response(&mut self, _: &Bytes) {
        self.before_the_answer.get_or_insert(self.requests);
    }
    fn request_end(&mut self) {}
    fn response_end(&mut self) {}
}

/// Says a byte whenever it is asked, if it is endless; takes whatever it is told.
struct Fake {
    socket: TcpStream,
    endless: bool,
}

impl Side for Fake {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }
    fn poll_read(&self, _: &mut Context<'_>) -> Poll<std::io::Result<Said>> {
        if self.endless { Poll::Ready(Ok(Said::Bytes(Bytes::from_static(b"x")))) } else { Poll::Pending }
    }
    fn poll_write(&self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_last_word(&self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Sends a byte to somebody else's connection at its first chunk.
struct Caller {
    chunks: Rc<Cell<usize>>,
    other: TcpStream,
}

impl Tap for Caller {
    fn request(&mut self, _: &Bytes) {
        if self.chunks.get() == 0 {
            assert_eq!(self.other.try_write(b"!").unwrap(), 1);
        }
        self.chunks.set(self.chunks.get() + 1);
    }
    fn response(&mut self, _: &Bytes) {}
    fn request_end(&mut self) {}
    fn response_end(&mut self) {}
}

#[tokio::test]
async fn a_connection_that_always_has_bytes_keeps_no_other_waiting_for_more_than_its_turn() {
    let ((client, _far), (app, _app)) = (pair().await, pair().await);
    let (other, mut heard) = pair().await;
    other.writable().await.unwrap();
    let chunks = Rc::new(Cell::new(0));
    let mut tap = Caller { chunks: Rc::clone(&chunks), other };
    let local = tokio::task::LocalSet::new();
    local.spawn_local(async move {
        let (client, app) = (Fake { socket: client, endless: true }, Fake { socket: app, endless: false });
        relay(client, app, &mut tap, &Leaving::default()).await
    });
    // Another task of the thread, as another connection is.
    let waits = local.spawn_local(async move { heard.read_u8().await.unwrap() });
    assert_eq!(local.run_until(waits).await.unwrap(), b'!');
    assert!(chunks.get() <= 4 * 8, "{} chunks were moved meanwhile", chunks.get());
}
