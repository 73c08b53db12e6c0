//! What holds for one namespace; on a thread inside it.

use std::{io, net::TcpListener};

use umbra_common::Seed;

use super::{Check, DIRECT, Fallback, Mode, check};
use crate::capture::{
    loader::{self, PROGRAM},
    netlink::{Family, Netlink},
    netns::Netns,
    passage, query,
    sockdiag::SockDiag,
    sysctl::{FWMARK_ACCEPT, FWMARK_REFLECT_V4, FWMARK_REFLECT_V6, Sysctl},
};

const LOCAL: Fallback =
    Fallback(Mode::LocalAddress, "apps see a local address instead of their clients' (clientAddress: local)");
const TRY: Fallback = Fallback(Mode::Full, "the usual way to the app is tried first, then the other");
const V4_ONLY: Fallback =
    Fallback(Mode::Full, "connections over IPv6 are not captured; they reach the app directly");
const FIRST_WINS: Fallback =
    Fallback(Mode::Full, "connections that it assigns first are not captured (verdict `taken`)");
const OUTSIDE: Fallback = Fallback(
    Mode::Direct,
    "its rules send connections elsewhere before umbra sees them: mirror by the mesh itself, or enrol pods outside of it",
);

/// Where sidecars and in-pod proxies take redirected connections.
const MESHES: [(&str, &[u16]); 2] = [("Istio", &[15001, 15006, 15008]), ("Linkerd", &[4140, 4143])];

pub(super) fn checks(netns: &Netns) -> Vec<Check> {
    vec![
        check("other programs", FIRST_WINS, other_programs(netns)),
        check("service mesh", OUTSIDE, mesh()),
        check("attach", DIRECT, attach(netns)),
        check("sock_diag", TRY, listeners()),
        check("settings", LOCAL, settings()),
        check("rp_filter", LOCAL, Ok(reverse_paths())),
        check("client address over IPv4", LOCAL, client_address(Family::V4)),
        check("client address over IPv6", LOCAL, client_address(Family::V6)),
        check("IPv6", V4_ONLY, ipv6()),
    ]
}

/// Attached with empty maps the program captures nothing; it is detached at once.
fn attach(netns: &Netns) -> Result<String, String> {
    loader::load(Seed::default())
        .and_then(|loaded| loaded.attach(netns))
        .map(|_| "the inbound program attaches".into())
        .map_err(|error| error.to_string())
}

fn other_programs(netns: &Netns) -> Result<String, String> {
    let names = query::programs(netns).map_err(|error| error.to_string())?;
    let others: Vec<_> = names.iter().filter(|name| *name != PROGRAM).map(String::as_str).collect();
    if !others.is_empty() {
        return Err(format!("sk_lookup programs of others are attached: {}", others.join(", ")));
    }
    Ok(match names.len() {
        0 => "no sk_lookup program is attached".into(),
        agents => format!("{agents} of an agent of umbra, nobody else's"),
    })
}

fn mesh() -> Result<String, String> {
    let diag = SockDiag::open().map_err(|error| error.to_string())?;
    for (mesh, ports) in MESHES {
        for &port in ports {
            if !diag.listeners(port).map_err(|error| error.to_string())?.is_empty() {
                return Err(format!("somebody listens on port {port}, as {mesh}'s proxy in a pod does"));
            }
        }
    }
    Ok("no proxy of Istio or Linkerd listens here".into())
}

fn listeners() -> Result<String, String> {
    let asked = SockDiag::open().and_then(|diag| diag.listeners(1));
    asked.map(|_| "the kernel tells who listens".into()).map_err(|error| error.to_string())
}

fn settings() -> Result<String, String> {
    let settings = [FWMARK_ACCEPT, FWMARK_REFLECT_V4, FWMARK_REFLECT_V6];
    let tried = settings.into_iter().try_for_each(Sysctl::may_switch_on);
    tried.map(|()| "answers can be made to carry the mark (/proc/sys)".into()).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
            "; mount it writable, or switch it on beforehand"
        } else {
            ""
        };
        format!("{error}{hint}")
    })
}

fn reverse_paths() -> String {
    let of = |device| Sysctl(device).read().ok().and_then(|value| value.parse::<u8>().ok()).unwrap_or(0);
    let strictness = of("net/ipv4/conf/all/rp_filter").max(of("net/ipv4/conf/lo/rp_filter"));
    format!("{strictness}; the way to apps works with any")
}

fn client_address(family: Family) -> Result<String, String> {
    let in_the_way = || passage::in_the_way(&Netlink::open()?, family);
    match passage::may_be_transparent(family).and_then(|()| in_the_way()) {
        Ok(None) => Ok("foreign addresses can be used, and no other rule is in the way".into()),
        Ok(Some(rule)) => Err(rule),
        Err(error) => Err(error.to_string()),
    }
}

fn ipv6() -> Result<String, String> {
    let bound: io::Result<_> = TcpListener::bind(("::1", 0));
    bound.map(|_| "::1 can be listened on".into()).map_err(|error| format!("::1: {error}"))
}
