//! Rules and routes of the namespace the calling thread is in. Adding what is there is no error, nor is
//! removing what is not: a predecessor that was killed leaves both.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt as _;
use nix::libc::{EAFNOSUPPORT, EEXIST, ENOENT, EOPNOTSUPP, ESRCH};
use rtnetlink::{
    Handle, IpVersion, RouteMessageBuilder,
    packet_route::{
        route::{RouteAttribute, RouteMessage, RouteScope, RouteType},
        rule::RuleMessage,
    },
};
use umbra_common::{RESERVED_V4, RESERVED_V6};

use super::rule::{PRIORITY, Rule, own};

/// Carried by the packets between the agent and the app, in both directions. Compared whole (mask
/// 0xffffffff), and clear of the bits of kube-proxy (0x4000, 0x8000), Cilium (0x0f00), AWS (0x80) and Istio
/// (0x111, 0x539).
pub const MARK: u32 = 77;

/// The table in which everything is local.
pub(super) const TABLE: u32 = 77;

/// Routes of [`TABLE`] by one device come after the one by [`LO`], which has 0, or 1024 for IPv6: they are for sockets that
/// are bound to that device.
const BY_DEVICE: u32 = 2048;

/// `RT_TABLE_LOCAL`, where the kernel looks whether an address is its own.
pub(super) const LOCAL_TABLE: u32 = 255;

/// The loopback device of every namespace.
const LO: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// One thing to add to, or remove from, the namespace.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// The reserved address is local (AnyIP): no interface carries it.
    Reserved(Family),
    /// Whatever the marked packet's destination, it is delivered here.
    Everything(Family),
    /// The same for sockets that are bound to the device of this number.
    EverythingBy(Family, u32),
    /// Marked packets are routed by [`TABLE`]; with the number that [`Netlink::own_rules`] lists.
    Rule(Family, u8),
}

/// A way to the kernel, on a runtime of its own.
pub(super) struct Netlink {
    runtime: tokio::runtime::Runtime,
    handle: Handle,
}

impl Netlink {
    /// Opens a socket in the namespace of the calling thread, which must not be a worker of a runtime.
    pub(super) fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _context = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection()?;
        runtime.spawn(connection);
        drop(_context);
        Ok(Self { runtime, handle })
    }

    pub(super) fn add(&self, entry: &Entry) -> io::Result<()> {
        let added = self.runtime.block_on(async {
            match entry {
                Entry::Reserved(_) | Entry::Everything(_) | Entry::EverythingBy(..) => {
                    self.handle.route().add(entry.route(true)).execute().await
                }
                Entry::Rule(family, number) => {
                    let mut request = self.handle.rule().add();
                    *request.message_mut() = own(*family, *number);
                    request.execute().await
                }
            }
        });
        forgive(added, &[EEXIST])
            .map_err(|error| io::Error::new(error.kind(), format!("add {entry}: {error}")))
    }

    pub(super) fn remove(&self, entry: &Entry) -> io::Result<()> {
        let removed = self.runtime.block_on(async {
            match entry {
                Entry::Reserved(_) | Entry::Everything(_) | Entry::EverythingBy(..) => {
                    self.handle.route().del(entry.route(true)).execute().await
                }
                Entry::Rule(family, number) => self.handle.rule().del(own(*family, *number)).execute().await,
            }
        });
        forgive(removed, &[ENOENT, ESRCH, EAFNOSUPPORT, EOPNOTSUPP])
            .map_err(|error| io::Error::new(error.kind(), format!("remove {entry}: {error}")))
    }

    /// Removes [`Entry::Everything`] and every [`Entry::EverythingBy`] there is: a predecessor's too.
    pub(super) fn clear(&self, family: Family) -> io::Result<()> {
        let any = Entry::Everything(family).route(false);
        loop {
            match self.runtime.block_on(self.handle.route().del(any.clone()).execute()) {
                Ok(()) => {}
                gone => return forgive(gone, &[ENOENT, ESRCH, EAFNOSUPPORT, EOPNOTSUPP]),
            }
        }
    }

    /// A rule of somebody else that would, or might, take our marked packets before ours does.
    pub(super) fn rival(&self, family: Family) -> io::Result<Option<String>> {
        let rival = self.rules(family)?.iter().map(Rule::read).find(Rule::is_rival);
        Ok(rival.map(|rule| format!("{rule} comes before ours ({PRIORITY}) and takes its packets")))
    }

    /// A rule of somebody else, of either family, that leads packets by their mark. What answers connections must not come
    /// to carry the marks with which they arrive, or it is led there too.
    pub(super) fn led_by_marks(&self) -> io::Result<Option<String>> {
        let mut rules = self.rules(Family::V4)?;
        rules.extend(self.rules(Family::V6)?);
        let found = rules.iter().map(Rule::read).find(Rule::leads_by_mark);
        Ok(found.map(|rule| {
            format!("{rule} leads packets by their mark, and with tcp_fwmark_accept answers would carry that of requests")
        }))
    }

    /// The numbers of the rules that umbra has added here. They are the rules' FRA_PROTOCOL (Linux 4.17), of which the
    /// kernel says only who added them; rules that differ in nothing else stand side by side.
    pub(super) fn own_rules(&self, family: Family) -> io::Result<Vec<u8>> {
        let rules = self.rules(family)?;
        Ok(rules.iter().map(Rule::read).filter(Rule::is_own).map(|rule| rule.number).collect())
    }

    /// None where the kernel has no such family.
    fn rules(&self, family: Family) -> io::Result<Vec<RuleMessage>> {
        let version = if family == Family::V4 { IpVersion::V4 } else { IpVersion::V6 };
        let rules = self.runtime.block_on(self.handle.rule().get(version).execute().try_collect());
        match rules {
            Err(rtnetlink::Error::NetlinkError(error))
                if [EAFNOSUPPORT, EOPNOTSUPP].contains(&-error.raw_code()) =>
            {
                Ok(Vec::new())
            }
            rules => rules.map_err(|error| explain(&error)),
        }
    }
}

impl Entry {
    /// The route; without its device it is any of those that lead there.
    fn route(&self, with_device: bool) -> RouteMessage {
        let (to, length, table): (IpAddr, u8, u32) = match self {
            Self::Reserved(Family::V4) => (RESERVED_V4.into(), 32, LOCAL_TABLE),
            Self::Reserved(Family::V6) => (RESERVED_V6.into(), 128, LOCAL_TABLE),
            Self::Everything(Family::V4) | Self::EverythingBy(Family::V4, _) | Self::Rule(Family::V4, _) => {
                (Ipv4Addr::UNSPECIFIED.into(), 0, TABLE)
            }
            Self::Everything(Family::V6) | Self::EverythingBy(Family::V6, _) | Self::Rule(Family::V6, _) => {
                (Ipv6Addr::UNSPECIFIED.into(), 0, TABLE)
            }
        };
        let mut route = match to {
            IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(to, length)
                .kind(RouteType::Local)
                .scope(RouteScope::Host)
                .table_id(table)
                .build(),
            IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(to, length)
                .kind(RouteType::Local)
                .table_id(table)
                .build(),
        };
        let device = if let Self::EverythingBy(_, device) = self { *device } else { LO };
        if with_device {
            route.attributes.push(RouteAttribute::Oif(device));
        }
        if device != LO {
            route.attributes.push(RouteAttribute::Priority(BY_DEVICE.saturating_add(device)));
        }
        route
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reserved(Family::V4) => write!(f, "route local {RESERVED_V4} dev lo"),
            Self::Reserved(Family::V6) => write!(f, "route local {RESERVED_V6} dev lo"),
            Self::Everything(family) => write!(f, "route local default dev lo table {TABLE} ({family:?})"),
            Self::EverythingBy(family, device) => {
                write!(f, "route local default by device {device} table {TABLE} ({family:?})")
            }
            Self::Rule(family, number) => {
                write!(f, "rule {PRIORITY} fwmark {MARK:#x} lookup {TABLE} proto {number} ({family:?})")
            }
        }
    }
}

fn forgive(result: Result<(), rtnetlink::Error>, codes: &[i32]) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(rtnetlink::Error::NetlinkError(error)) if codes.contains(&-error.raw_code()) => Ok(()),
        Err(error) => Err(explain(&error)),
    }
}

fn explain(error: &rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(error) => error.to_io(),
        other => io::Error::other(other.to_string()),
    }
}
