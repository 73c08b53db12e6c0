//! A wiretap: it hands each connection on to one server, and keeps what went by, byte for byte, either way.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use socket2::SockRef;
use support::{Netns, eventually};

/// Listens until dropped.
pub(crate) struct Wiretap {
    listener: TcpListener,
    calls: Arc<Mutex<Vec<Arc<Call>>>>,
}

/// One connection.
struct Call {
    /// The port it came from, and the one it goes on from.
    ports: [u16; 2],
    streams: [TcpStream; 2],
    request: Mutex<Way>,
    response: Mutex<Way>,
}

#[derive(Default)]
struct Way {
    bytes: Vec<u8>,
    ended: bool,
}

/// What was said on a connection that is over.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) ports: [u16; 2],
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
}

impl Wiretap {
    /// Listens in a namespace, and calls the server from the same one.
    pub(crate) fn start(netns: &Netns, listen: SocketAddr, server: SocketAddr) -> Self {
        let listener = netns.listen(listen);
        let calls = Arc::<Mutex<Vec<_>>>::default();
        let (accepting, netns, kept) = (listener.try_clone().unwrap(), netns.clone(), Arc::clone(&calls));
        thread::spawn(move || {
            // Ends with an error, when the listener is shut down.
            for stream in accepting.incoming().map_while(Result::ok) {
                if let Ok(call) = Call::open(stream, &netns, server) {
                    kept.lock().unwrap().push(Arc::clone(&call));
                    for way in [Self::carry_request, Self::carry_response] {
                        let call = Arc::clone(&call);
                        thread::spawn(move || way(&call));
                    }
                }
            }
        });
        Self { listener, calls }
    }

    fn carry_request(call: &Call) {
        carry(&call.streams[0], &call.streams[1], &call.request);
    }

    fn carry_response(call: &Call) {
        carry(&call.streams[1], &call.streams[0], &call.response);
    }

    /// Everything said since the last time, by the order of the connections; once all of them are over.
    pub(crate) fn heard(&self) -> Vec<Said> {
        let over =
            |call: &Arc<Call>| call.request.lock().unwrap().ended && call.response.lock().unwrap().ended;
        eventually("every connection to be over", || {
            self.calls.lock().unwrap().iter().all(over).then_some(())
        });
        std::mem::take(&mut *self.calls.lock().unwrap()).iter().map(|call| call.said()).collect()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        for call in &*self.calls.lock().unwrap() {
            call.streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
    }
}

impl Call {
    fn open(stream: TcpStream, netns: &Netns, server: SocketAddr) -> std::io::Result<Arc<Self>> {
        let onward = netns.connect(server)?;
        let ports = [stream.peer_addr()?.port(), onward.local_addr()?.port()];
        for stream in [&stream, &onward] {
            stream.set_nodelay(true)?;
        }
        let (request, response) = <(Mutex<Way>, Mutex<Way>)>::default();
        Ok(Arc::new(Self { ports, streams: [stream, onward], request, response }))
    }

    fn said(&self) -> Said {
        let taken = |way: &Mutex<Way>| std::mem::take(&mut way.lock().unwrap().bytes);
        Said { ports: self.ports, request: taken(&self.request), response: taken(&self.response) }
    }
}

/// Listens on when nobody takes the bytes any more: what was said counts, not what was heard.
fn carry(mut from: &TcpStream, mut to: &TcpStream, way: &Mutex<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut taken = true;
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        way.lock().unwrap().bytes.extend_from_slice(&buffer[..read]);
        taken = taken && to.write_all(&buffer[..read]).is_ok();
    }
    let _ = to.shutdown(Shutdown::Write);
    way.lock().unwrap().ended = true;
}
