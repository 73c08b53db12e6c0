//! Listeners of the workers: one address, shared through SO_REUSEPORT.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt::AttachReusePortCbpf},
};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, per listener. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The listeners of one worker; non-blocking.
#[derive(Debug)]
pub struct WorkerListeners {
    pub listeners: Vec<TcpListener>,
}

/// As many listeners on one address as there are workers. With port 0 the kernel picks the port of all of
/// them.
pub(super) fn group(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = listen(address)?;
    let shared = first.local_addr()?;
    let mut group = vec![first];
    for _ in 1..workers {
        group.push(listen(shared)?);
    }
    Ok(group)
}

/// Leads new connections past the first `own` listeners of a group, to one of the `others` that came after them, by a
/// program of one instruction (`SO_ATTACH_REUSEPORT_CBPF`, Linux 4.5, no privileges). Handshakes that have begun end where
/// they began.
///
/// It names a listener by its place. A listener that closes gives its place to the last one, so that the `own` may close in
/// any order: the place that is named stays with another as long as there are as many others, and is beyond the end when
/// all are gone; then the kernel shares connections out again.
pub(super) fn lead_past(one: &impl AsFd, own: usize, others: usize) -> io::Result<()> {
    /// `BPF_RET | BPF_K`
    const RETURN: u16 = 0x06;
    let place = u32::try_from(own.max(others)).map_err(io::Error::other)?;
    let mut program = [libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: place }];
    let program = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    Ok(setsockopt(one, AttachReusePortCbpf, &program)?)
}

/// Listeners that only the inbound program leads to: bound to loopback, so that nothing reaches them from
/// outside.
pub(super) fn hidden(v6: bool, workers: usize) -> io::Result<Vec<TcpListener>> {
    let address = if v6 { IpAddr::from(Ipv6Addr::LOCALHOST) } else { Ipv4Addr::LOCALHOST.into() };
    group((address, 0).into(), workers)
}

/// One set per worker, out of one group per family.
pub(super) fn deal(
    families: impl IntoIterator<Item = Vec<TcpListener>>,
    workers: usize,
) -> Vec<WorkerListeners> {
    let mut sets: Vec<_> = (0..workers).map(|_| WorkerListeners { listeners: Vec::new() }).collect();
    for family in families {
        for (set, listener) in sets.iter_mut().zip(family) {
            set.listeners.push(listener);
        }
    }
    sets
}

/// Listeners stand at this file number and above, as far as the limit on open files reaches.
///
/// A killed process closes its files from the highest number down (`task_work` is a stack since Linux 4.4). Below its
/// connections a listener would outlive them by the milliseconds it takes to close the rest, and meanwhile take the
/// new connections of just those clients. 32,768 numbers cost 256 KiB of kernel memory and leave room for 16,000
/// connections below.
const ABOVE_CONNECTIONS: i32 = 32_768 - 64;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Accepted sockets inherit it and hold the app's port: without it the app could not bind that port again
    // while a captured connection is open.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Inherited as well: bytes leave as they come, and a client that vanished is found out although the app only ever talks
    // to us.
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(above_connections(socket).into())
}

fn above_connections(socket: Socket) -> Socket {
    // Where no number is free the socket stays where it is: only the order of a sudden death suffers.
    again(&socket).map_or(socket, Socket::from)
}

/// The same socket under one more number, above connections too: it listens until both are closed.
pub(super) fn again(socket: impl AsFd) -> io::Result<OwnedFd> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(i32::MAX);
    Ok(rustix::io::fcntl_dupfd_cloexec(socket, ABOVE_CONNECTIONS.min(limit - 64))?)
}
