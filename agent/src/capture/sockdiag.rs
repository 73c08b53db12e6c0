//! Who listens on a port, as the kernel lists it (sock_diag(7), Linux 3.3). One socket per namespace, opened
//! inside.

use std::{
    io,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use nix::libc::ENOENT;

/// A socket that waits for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// Unspecified for every address of the family.
    pub(super) address: IpAddr,
    /// An IPv6 socket that does not take IPv4.
    pub(super) v6_only: bool,
    /// The number of the only device through which it takes connections; 0 for all of them.
    pub(super) device: u32,
}

#[derive(Debug)]
pub(super) struct SockDiag {
    socket: Mutex<Socket>,
}

impl SockDiag {
    /// Opens a socket in the namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket: Mutex::new(socket) })
    }

    /// Every TCP listener on this port. The kernel answers within the system call.
    pub(super) fn listeners(&self, port: u16) -> io::Result<Vec<Listener>> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut listeners = dump(&socket, AF_INET, SocketId::new_v4(), port)?;
        listeners.extend(dump(&socket, AF_INET6, SocketId::new_v6(), port)?);
        Ok(listeners)
    }
}

fn dump(socket: &Socket, family: u8, mut socket_id: SocketId, port: u16) -> io::Result<Vec<Listener>> {
    socket_id.source_port = port;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut listeners = Vec::new();
    loop {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            rest = rest.get(aligned(message.header.length)..).unwrap_or_default();
            match message.payload {
                // The kernel filters by port; an answer about another one is not ours to interpret.
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response))
                    if response.header.socket_id.source_port == port =>
                {
                    listeners.push(listener(&response));
                }
                NetlinkPayload::Done(_) => return Ok(listeners),
                // A kernel without this family lists none of its sockets.
                NetlinkPayload::Error(error) if error.raw_code() == -ENOENT => return Ok(listeners),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
        }
    }
}

fn listener(response: &InetResponse) -> Listener {
    let id = &response.header.socket_id;
    Listener {
        address: id.source_address.to_canonical(),
        v6_only: response.nlas.contains(&Nla::SkV6Only(true)),
        device: id.interface_id,
    }
}

/// Messages begin at multiples of four (`NLMSG_ALIGNTO`).
fn aligned(length: u32) -> usize {
    (length as usize).next_multiple_of(4).max(4)
}
