mod endings;
mod turns;
mod unseen;

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

/// Until every buffer on the way is full.
async fn fill(from: &TcpStream) {
    while tokio::time::timeout(std::time::Duration::from_millis(200), from.writable()).await.is_ok() {
        let _ = from.try_write(&[0; 65536]);
    }
}

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
