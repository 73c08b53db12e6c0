//! What the way from the agent to the app needs of a namespace: the reserved address, and for keeping the
//! client's address a rule, a route and three settings per namespace. Laid when it is enrolled, lifted by the last
//! agent that withdraws. Runs on a thread inside the namespace.
//!
//! Which settings were off before, the rule itself remembers, in its number: so a successor knows what an agent that
//! was killed, or that it took over from, had switched on. The memory ends with the rule, or with the namespace.

use std::io;

use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, Socket, Type};

use super::{
    netlink::{Entry, Family, MARK, Netlink},
    netns::Netns,
    query,
    sysctl::{FWMARK_ACCEPT, FWMARK_REFLECT_V4, FWMARK_REFLECT_V6, Sysctl},
};

/// The settings that keeping the client's address takes, each with its bit in the number of the family's rule.
fn settings(family: Family) -> [(u8, Sysctl); 2] {
    let reflect = if family == Family::V4 { FWMARK_REFLECT_V4 } else { FWMARK_REFLECT_V6 };
    [(1, FWMARK_ACCEPT), (2, reflect)]
}

/// A rule's number without any bit. Numbers from here on are nobody's (rtnetlink.h, /etc/iproute2/rt_protos).
const NUMBER: u8 = 0xE0;

/// The bits in the number of a rule; none in that of a rule of an agent older than they are.
fn bits(number: u8) -> u8 {
    if number & !3 == NUMBER { number & 3 } else { 0 }
}

/// Makes the reserved address local.
pub(super) fn reserve(netlink: &Netlink, family: Family) -> io::Result<()> {
    netlink.add(&Entry::Reserved(family))
}

/// Makes packets that carry the mark come back to this namespace whatever their destination, so that the
/// app can answer a client's address and reach the agent. What was laid before a failure is lifted with the rest.
pub(super) fn keep_client_address(netlink: &Netlink, family: Family) -> io::Result<()> {
    may_be_transparent(family)?;
    if let Some(rule) = in_the_way(netlink, family)? {
        return Err(io::Error::other(rule));
    }
    let known = netlink.own_rules(family)?;
    let mut were_off = known.iter().fold(0, |all, number| all | bits(*number));
    for (bit, setting) in settings(family) {
        setting.may_switch_on()?;
        if !setting.is_on()? {
            were_off |= bit;
        }
    }
    // First of all: whatever comes next, it is known what was off. Without the route the rule leads nowhere, and packets
    // go on to the next one.
    let number = NUMBER | were_off;
    netlink.add(&Entry::Rule(family, number))?;
    for older in known.into_iter().filter(|known| *known != number) {
        netlink.remove(&Entry::Rule(family, older))?;
    }
    settings(family).into_iter().try_for_each(|(_, setting)| setting.switch_on())?;
    netlink.add(&Entry::Everything(family))
}

/// The same for apps that are bound to the device of this number, and so answer through it alone.
pub(super) fn keep_client_address_by(device: u32, family: Family) -> io::Result<()> {
    Netlink::open()?.add(&Entry::EverythingBy(family, device))
}

/// A rule of somebody else with which clients' addresses cannot be kept, or not without harm to others.
pub(super) fn in_the_way(netlink: &Netlink, family: Family) -> io::Result<Option<String>> {
    match harmed(netlink)? {
        None => netlink.rival(family),
        harmed => Ok(harmed),
    }
}

/// A rule that would lead answers astray because of a setting that umbra has switched on, or would.
fn harmed(netlink: &Netlink) -> io::Result<Option<String>> {
    // Where somebody else has switched it on, all is as they want it.
    let own = netlink.own_rules(Family::V4)?.into_iter().chain(netlink.own_rules(Family::V6)?);
    let by_umbra = own.map(bits).any(|bits| bits & 1 != 0);
    if by_umbra || !FWMARK_ACCEPT.is_on()? { netlink.led_by_marks() } else { Ok(None) }
}

/// After rules have changed: lays again what others allow again, or switches off what harms them. Returns what is in the way.
pub(super) fn look_again(netns: &Netns, family: Family) -> io::Result<Option<String>> {
    let _turn = turn(netns)?;
    let netlink = Netlink::open()?;
    let found = in_the_way(&netlink, family)?;
    if found.is_none() {
        keep_client_address(&netlink, family)?;
    } else if harmed(&netlink)?.is_some() {
        // Rule and routes stay, for connections that are open.
        let were_off = netlink.own_rules(family)?.into_iter().fold(0, |all, number| all | bits(number));
        switch_back(family, were_off)?;
    }
    Ok(found)
}

fn switch_back(family: Family, were_off: u8) -> io::Result<()> {
    let ours = settings(family).into_iter().rev().filter(|(bit, _)| were_off & bit != 0);
    ours.map(|(_, setting)| setting.switch_off()).fold(Ok(()), Result::and)
}

/// Removes everything that umbra laid here, whichever agent it was, unless another one is attached to the namespace and
/// needs it: then it does so when it withdraws.
pub(super) fn lift(netns: &Netns, own_program: u32) -> io::Result<()> {
    let _turn = turn(netns)?;
    if query::another_agent(netns, own_program)? {
        return Ok(());
    }
    let netlink = Netlink::open()?;
    // Settings of both families go back in the reverse order. One failure does not keep the rest from being removed; the
    // first is told.
    [Family::V6, Family::V4].map(|family| lift_family(&netlink, family)).into_iter().fold(Ok(()), Result::and)
}

fn lift_family(netlink: &Netlink, family: Family) -> io::Result<()> {
    let mut done = netlink.clear(family);
    let (rules, known) = match netlink.own_rules(family) {
        Ok(rules) => (rules, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    done = done.and(known);
    let were_off = rules.iter().fold(0, |all, number| all | bits(*number));
    done = done.and(switch_back(family, were_off));
    for number in rules {
        done = done.and(netlink.remove(&Entry::Rule(family, number)));
    }
    done.and(netlink.remove(&Entry::Reserved(family)))
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
