//! Nobody waits for more than the turn of another.

use std::{cell::Cell, rc::Rc, task::Context};

use super::*;

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
