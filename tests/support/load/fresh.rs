//! A client that opens a connection for each request, and asks the server to close it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use super::{Outcome, Tally};
use crate::patience;

/// Asks until told to stop; to be called inside the client's namespace.
pub(super) fn ask(server: SocketAddr, tally: &Tally) {
    while !tally.stopped() {
        let started = Instant::now();
        let outcome = match once(server) {
            Ok(answer) if is_whole(&answer) => Outcome::Answered,
            Ok(answer) => Outcome::Failed(format!("half an answer: {:?}", String::from_utf8_lossy(&answer))),
            Err(error) => Outcome::Failed(format!("{error:?}")),
        };
        tally.note(started, false, outcome);
    }
}

fn once(server: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, patience())?;
    stream.set_read_timeout(Some(patience()))?;
    stream.write_all(b"GET /fresh HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// As long as it says.
fn is_whole(answer: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(begin)) = head.parse(answer) else { return false };
    let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    head.code == Some(200) && length == Some(answer.len() - begin)
}
