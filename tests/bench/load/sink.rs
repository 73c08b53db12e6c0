//! The app, and the shadow, of uploads: reads each request to its end, then answers. Nginx alone would answer first.
//! It may take its time before each answer, as a slow shadow does.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::http::Messages;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-type: text/plain\r\n\r\nok\n";

pub(crate) fn run(address: SocketAddr, takes: Duration) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || serve(stream, takes));
    }
    Ok(())
}

fn serve(stream: TcpStream, takes: Duration) {
    let _ = stream.set_nodelay(true);
    let mut messages = Messages::of(stream);
    while messages.request().is_ok() {
        thread::sleep(takes);
        if messages.stream.write_all(ANSWER).is_err() {
            return;
        }
    }
}
