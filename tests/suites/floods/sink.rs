//! An app that takes whatever comes and never says a word, but to the bystander, whom it answers.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use support::Pod;

use crate::bystander::{ANSWER, ASKS};

/// Listens in a pod from now on; a connection ends with its client, the listener with the test.
pub(crate) fn listen(pod: &Pod) -> SocketAddr {
    let listener = pod.netns().listen("[::]:0".parse().unwrap());
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || accept(&listener));
    (pod.ip(), port).into()
}

fn accept(listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        // A thread of a slow head needs next to no stack.
        thread::Builder::new().stack_size(256 << 10).spawn(|| take(stream)).unwrap();
    }
}

fn take(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        // The bystander asks in one write and waits for the answer.
        if buffer[..count].starts_with(ASKS.as_bytes()) && stream.write_all(ANSWER.as_bytes()).is_err() {
            return;
        }
    }
}
