//! Source addresses of connections to the app. The client's is foreign to the namespace: it takes
//! IP_TRANSPARENT, and the mark by which the app's answers come back instead of leaving for the client.
#![allow(unsafe_code, reason = "no crate knows IP_LOCAL_PORT_RANGE yet")]

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt::IpBindAddressNoPort},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::netlink::{Family, MARK};

/// Ports of announced sources: above those that Linux clients leave from (32768 to 60999). The app's end of
/// such a connection looks exactly like one of the client's own from the same port, so the two must not meet.
const ANNOUNCED_PORTS: std::ops::RangeInclusive<u16> = 61000..=u16::MAX;

/// Ports that are tried for one connection where each must be bound by itself.
const TRIES: usize = 16;

/// After so many ports that were taken, half of them are likely gone.
const SCARCE_AFTER: usize = 6;

/// Ports of spare sources: those that any process may bind.
const SPARE_PORTS: std::ops::RangeInclusive<u16> = 1024..=u16::MAX;

/// Linux 6.3. Two ports in a u32: the lowest in the lower half, the highest in the upper.
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;
const RANGE_SIZE: libc::socklen_t = 4;

/// Where a connection to the app leaves from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The client's address and its port.
    SamePort,
    /// The client's address.
    AnyPort,
    /// The client's address, with a port outside of those the namespace's own connections leave from: when these are used
    /// up.
    SparePort,
    /// The client's address, told to the program beforehand.
    Announced,
    /// The reserved address.
    Local,
    /// The reserved address, as [`Source::SparePort`].
    LocalSpare,
}

/// A source with a port of its own, and what it took to find it.
pub(super) struct Bound {
    pub(super) address: SocketAddr,
    /// Most of the ports it was chosen from are taken.
    pub(super) scarce: bool,
}

/// A TCP socket in the namespace of the calling thread; non-blocking.
pub(super) fn socket(family: Family) -> io::Result<Socket> {
    let domain = if family == Family::V4 { Domain::IPV4 } else { Domain::IPV6 };
    Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
}

pub(super) fn bind_local(socket: &Socket, reserved: IpAddr) -> io::Result<()> {
    free(socket, reserved)?;
    late_port(socket)?;
    bind(socket, reserved, 0)
}

/// As [`bind_local`], when the ports of [`late_port`] are used up.
pub(super) fn bind_local_spare(socket: &Socket, reserved: IpAddr, ephemeral: (u16, u16)) -> io::Result<()> {
    free(socket, reserved)?;
    bind_spare(socket, reserved, ephemeral)
}

/// As [`bind_any_port`], when the ports of [`late_port`] are used up.
pub(super) fn bind_spare_port(socket: &Socket, client: IpAddr, ephemeral: (u16, u16)) -> io::Result<()> {
    foreign(socket, client)?;
    bind_spare(socket, client, ephemeral)
}

fn bind_spare(socket: &Socket, address: IpAddr, ephemeral: (u16, u16)) -> io::Result<()> {
    // Connections from one such port to different apps are different connections, and an app that binds with the same
    // option, as servers do, may have the port all the same.
    socket.set_reuse_address(true)?;
    let spare = |port: &u16| !(ephemeral.0..=ephemeral.1).contains(port);
    let ports = std::iter::repeat_with(|| fastrand::u16(SPARE_PORTS)).take(TRIES * TRIES).filter(spare);
    first_free(socket, address, ports.take(TRIES)).map(drop)
}

/// The client's port is kept in a way that does not keep the namespace's own connections from using it: one
/// that is bound explicitly is lost for them, and a pod with many clients would run out of ports to call
/// others from.
pub(super) fn bind_same_port(socket: &Socket, client: SocketAddr, ephemeral: (u16, u16)) -> io::Result<()> {
    let port = client.port();
    if !(ephemeral.0..=ephemeral.1).contains(&port) {
        foreign(socket, client.ip())?;
        socket.set_reuse_address(true)?;
        return bind(socket, client.ip(), port);
    }
    only_port(socket, port).map_err(|_| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    bind_any_port(socket, client.ip())
}

/// The port is chosen when connecting, so that the pair of endpoints is free rather than the port.
pub(super) fn bind_any_port(socket: &Socket, client: IpAddr) -> io::Result<()> {
    late_port(socket)?;
    if bind(socket, client, 0).is_ok() {
        // An address of the namespace itself. Answers to it are marked all the same, and local in any case.
        return socket.set_mark(MARK);
    }
    foreign(socket, client)?;
    // Everything between the app and a foreign address is met on the loopback device. Saying so lets a pair
    // of endpoints be used again one second after it was closed instead of sixty (`tcp_tw_reuse` = 2, Linux
    // 4.19). Not for a local client: to the kernel, what comes back to it arrives on its address's device.
    let _ = socket.bind_device(Some(b"lo"));
    bind(socket, client, 0)
}

/// A port of [`ANNOUNCED_PORTS`]; returns the source.
pub(super) fn bind_announced(socket: &Socket, client: IpAddr) -> io::Result<Bound> {
    foreign(socket, client)?;
    first_free(socket, client, std::iter::repeat_with(|| fastrand::u16(ANNOUNCED_PORTS)).take(TRIES))
}

fn first_free(socket: &Socket, address: IpAddr, ports: impl Iterator<Item = u16>) -> io::Result<Bound> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for (taken, port) in ports.enumerate() {
        match bind(socket, address, port) {
            Ok(()) => {
                let address = SocketAddr::new(address, port);
                return Ok(Bound { address, scarce: taken >= SCARCE_AFTER });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// No interface carries the reserved address.
fn free(socket: &Socket, reserved: IpAddr) -> io::Result<()> {
    match reserved {
        IpAddr::V4(_) => socket.set_freebind_v4(true),
        IpAddr::V6(_) => socket.set_freebind_v6(true),
    }
}

fn foreign(socket: &Socket, client: IpAddr) -> io::Result<()> {
    socket.set_mark(MARK)?;
    match client {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true),
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true),
    }
}

fn bind(socket: &Socket, address: IpAddr, port: u16) -> io::Result<()> {
    socket.bind(&SocketAddr::new(address, port).into())
}

fn late_port(socket: &Socket) -> io::Result<()> {
    Ok(setsockopt(socket, IpBindAddressNoPort, &true)?)
}

/// Narrows the ports `connect` may choose from to one.
fn only_port(socket: &Socket, port: u16) -> io::Result<()> {
    let range: u32 = u32::from(port) << 16 | u32::from(port);
    // SAFETY: the value is a u32 that outlives the call, and its size is passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            IP_LOCAL_PORT_RANGE,
            std::ptr::from_ref(&range).cast(),
            RANGE_SIZE,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
