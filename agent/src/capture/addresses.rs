//! The addresses of a namespace's interfaces, read again when the kernel tells of a change (rtnetlink(7)); whether its
//! routing rules have changed, which is told by the same socket; and those that the node's own connections leave from.

use std::{
    io::{self, ErrorKind},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::InterfaceFlags,
};

/// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR`, `RTNLGRP_IPV4_RULE` and `RTNLGRP_IPV6_RULE` (rtnetlink.h).
const CHANGES: u32 = 0x10 | 0x100 | 1 << 7 | 1 << 18;

/// Where the lower byte of a message's kind is (`nlmsghdr`, netlink(7)).
const KIND: usize = if cfg!(target_endian = "little") { 4 } else { 5 };

/// `RTM_NEWRULE` and `RTM_DELRULE`.
const RULES: [u8; 2] = [32, 33];

/// One message, or the beginning of it: that there is one says enough.
const MESSAGE: usize = 64;

/// Messages read at once. Where there are more, the rest tells of a change the next time.
const MESSAGES: usize = 1024;

/// What may have changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changed {
    pub(super) addresses: bool,
    pub(super) rules: bool,
}

/// Addresses of one namespace. Keeps one socket there.
pub(super) struct Addresses {
    changes: Socket,
    known: Mutex<Arc<[IpAddr]>>,
}

impl Addresses {
    /// Those of the namespace of the calling thread.
    pub(super) fn watch() -> io::Result<Self> {
        let mut changes = Socket::new(NETLINK_ROUTE)?;
        changes.set_non_blocking(true)?;
        changes.bind(&SocketAddr::new(0, CHANGES))?;
        Ok(Self { changes, known: Mutex::new(read()?.into()) })
    }

    /// As last read: IPv4 as IPv4, in order.
    pub(super) fn known(&self) -> Arc<[IpAddr]> {
        Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What may have changed since this was asked before.
    pub(super) fn have_changed(&self) -> Changed {
        let mut changed = Changed::default();
        let mut message = Vec::with_capacity(MESSAGE);
        for _ in 0..MESSAGES {
            message.clear();
            match self.changes.recv(&mut message, 0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // `nlmsg_type`, of which these kinds have the lower byte only.
                Ok(_) if message.get(KIND).is_some_and(|kind| RULES.contains(kind)) => changed.rules = true,
                Ok(_) => changed.addresses = true,
                // So many came that some are lost (ENOBUFS).
                Err(_) => changed = Changed { addresses: true, rules: true },
            }
        }
        changed
    }

    /// Reads them, on a thread inside the namespace.
    pub(super) fn read_again(&self) -> io::Result<()> {
        let read = read()?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = read.into();
        Ok(())
    }
}

/// The addresses that connections of the node itself may come from: those of the interfaces that are up in the agent's own
/// namespace, in order. Loopback is every namespace's own, and link-local addresses mean another node on each link, so
/// neither says that it was the node. An interface that is down is no source either: kube-proxy's `kube-ipvs0` has every
/// service's address.
///
/// # Errors
/// When the kernel does not tell them.
pub fn node_addresses() -> io::Result<Vec<IpNet>> {
    let is_source = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unspecified() && !v6.is_unicast_link_local(),
    };
    let up = of_interfaces(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))?;
    Ok(up.into_iter().filter(is_source).map(IpNet::from).collect())
}

fn read() -> io::Result<Vec<IpAddr>> {
    of_interfaces(|_| true)
}

/// Those of the namespace of the calling thread: IPv4 as IPv4, in order.
fn of_interfaces(wanted: impl Fn(&InterfaceAddress) -> bool) -> io::Result<Vec<IpAddr>> {
    let address = |storage: &nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    };
    let mut addresses: Vec<_> = getifaddrs()?
        .filter(wanted)
        .filter_map(|interface| Some(address(interface.address.as_ref()?)?.to_canonical()))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}
