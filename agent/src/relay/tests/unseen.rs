//! Bytes that go by within the kernel.

use super::*;

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
