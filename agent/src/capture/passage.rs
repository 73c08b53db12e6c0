//! What the way from the agent to the app needs of a namespace: the reserved address, and for keeping the
//! client's address a rule, a route and three settings per namespace. Laid when it is enrolled, lifted when
//! it is withdrawn. Runs on a thread inside the namespace.

use std::io;

use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, Socket, Type};

use super::{
    netlink::{Entry, Family, MARK, Netlink},
    netns::Netns,
    query,
    sysctl::{Changed, FWMARK_ACCEPT, FWMARK_REFLECT_V4, FWMARK_REFLECT_V6, Sysctl},
};

/// What was laid. Marked packets alone notice it.
#[derive(Debug, Default)]
pub(super) struct Passage {
    entries: Vec<Entry>,
    changed: Vec<Changed>,
}

impl Passage {
    /// Makes the reserved address local.
    pub(super) fn reserve(&mut self, netlink: &Netlink, family: Family) -> io::Result<()> {
        self.lay(netlink, Entry::Reserved(family))
    }

    /// Makes packets that carry the mark come back to this namespace whatever their destination, so that the
    /// app can answer a client's address and reach the agent. What was laid before a failure stays in the
    /// passage, to be lifted with it.
    pub(super) fn keep_client_address(&mut self, netlink: &Netlink, family: Family) -> io::Result<()> {
        may_be_transparent(family)?;
        if let Some(rival) = netlink.rival(family)? {
            return Err(io::Error::other(rival));
        }
        let settings: [Sysctl; 2] = match family {
            Family::V4 => [FWMARK_ACCEPT, FWMARK_REFLECT_V4],
            Family::V6 => [FWMARK_ACCEPT, FWMARK_REFLECT_V6],
        };
        for setting in settings {
            self.changed.extend(setting.switch_on()?);
        }
        self.lay(netlink, Entry::Everything(family))?;
        self.lay(netlink, Entry::Rule(family))
    }

    fn lay(&mut self, netlink: &Netlink, entry: Entry) -> io::Result<()> {
        netlink.add(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Removes everything again, unless another agent is attached to the namespace and needs it: then it does
    /// so when it withdraws, and the settings stay on, which without marked packets means nothing.
    pub(super) fn lift(self, netns: &Netns, own_program: u32) -> io::Result<()> {
        let _turn = turn(netns)?;
        if query::another_agent(netns, own_program)? {
            return Ok(());
        }
        let netlink = Netlink::open()?;
        let removed = self.entries.iter().rev().map(|entry| netlink.remove(entry));
        let put_back = self.changed.iter().rev().map(Changed::put_back);
        // One failure does not keep the rest from being removed; the first is told.
        removed.chain(put_back).fold(Ok(()), Result::and)
    }
}

/// Agents that come and go at the same time change a namespace one after the other.
pub(super) fn turn(netns: &Netns) -> io::Result<Flock<std::fs::File>> {
    Flock::lock(netns.reopen()?, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Whether this process may use foreign addresses and marks here (CAP_NET_ADMIN).
pub(super) fn may_be_transparent(family: Family) -> io::Result<()> {
    let domain = if family == Family::V4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    match family {
        Family::V4 => socket.set_ip_transparent_v4(true)?,
        Family::V6 => socket.set_ip_transparent_v6(true)?,
    }
    socket.set_mark(MARK)
}
