//! What this machine allows, found by trying it: for `umbra doctor`. Nothing is changed, and nothing
//! captured.

use std::{fs, io, net::TcpListener};

use super::{
    loader,
    netlink::{Family, Netlink},
    netns::Netns,
    passage,
    sockdiag::SockDiag,
    sysctl::{FWMARK_ACCEPT, FWMARK_REFLECT_V4, FWMARK_REFLECT_V6, Sysctl},
};
use crate::config::umbra::NetnsRef;
use umbra_common::Seed;

/// One thing tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    /// What was found, or what falls short.
    pub result: Result<String, Shortfall>,
}

/// Why a thing does not work, and what umbra does without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub reason: String,
    pub fallback: &'static str,
}

const DIRECT: &str = "plain listeners in front of the apps (spec.capture.direct) need no kernel support";
const LOCAL: &str = "apps see a local address instead of their clients' (clientAddress: local)";
const TRY: &str = "the usual way to the app is tried first, then the other";
const UNSTEERED: &str = "maxCpuPressure of ShadowPolicies has no effect; their other limits have";
const V4_ONLY: &str = "connections over IPv6 are not captured; they reach the app directly";

/// Bits of a capability set, capability.h.
const CAPABILITIES: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN"), (39, "CAP_BPF")];

/// Tries everything that enrolling this namespace takes, each thing by itself.
pub fn checks(netns: &NetnsRef) -> Vec<Check> {
    let mut checks = vec![
        check("kernel", DIRECT, kernel()),
        check("capabilities", DIRECT, capabilities()),
        check("program", DIRECT, program()),
        check("CPU pressure", UNSTEERED, cpu_pressure()),
    ];
    let entered = Netns::open(netns).and_then(|open| {
        // Inside on a thread of its own: half of these answers belong to a namespace.
        let inside = open.on_thread(|| inside(&open))?;
        checks.push(check("namespace", DIRECT, Ok(format!("{} can be entered", open.name()))));
        checks.extend(inside);
        Ok(())
    });
    if let Err(error) = entered {
        checks.push(check("namespace", DIRECT, Err(format!("{netns} cannot be entered: {error}"))));
    }
    checks
}

fn inside(netns: &Netns) -> Vec<Check> {
    vec![
        check("attach", DIRECT, attach(netns)),
        check("sock_diag", TRY, listeners()),
        check("client address over IPv4", LOCAL, client_address(Family::V4)),
        check("client address over IPv6", LOCAL, client_address(Family::V6)),
        check("IPv6", V4_ONLY, ipv6()),
    ]
}

fn check(name: &'static str, fallback: &'static str, result: Result<String, String>) -> Check {
    Check { name, result: result.map_err(|reason| Shortfall { reason, fallback }) }
}

fn kernel() -> Result<String, String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|error| error.to_string())?;
    let release = release.trim();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < (5, 9) => {
            Err(format!("Linux {release} is older than 5.9, the first with sk_lookup"))
        }
        _ => Ok(format!("Linux {release}")),
    }
}

fn cpu_pressure() -> Result<String, String> {
    const PRESSURE: &str = "/proc/pressure/cpu";
    let read = fs::read_to_string(PRESSURE);
    let missing =
        |error| format!("{PRESSURE}: {error}; it takes CONFIG_PSI, and psi=1 where that is off by default");
    read.map(|_| "the kernel tells how busy the CPUs are".into()).map_err(missing)
}

fn capabilities() -> Result<String, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .ok_or("/proc/self/status lists no effective capabilities")?;
    let missing: Vec<_> =
        CAPABILITIES.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        Ok("CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF".into())
    } else {
        Err(format!("missing {}", missing.join(", ")))
    }
}

fn program() -> Result<String, String> {
    loader::load(Seed::default())
        .map(|_| "the inbound program loads".into())
        .map_err(|error| error.to_string())
}

/// Attached with empty maps the program captures nothing; it is detached at once.
fn attach(netns: &Netns) -> Result<String, String> {
    loader::load(Seed::default())
        .and_then(|loaded| loaded.attach(netns))
        .map(|_| "the inbound program attaches".into())
        .map_err(|error| error.to_string())
}

fn listeners() -> Result<String, String> {
    let asked = SockDiag::open().and_then(|diag| diag.listeners(1));
    asked.map(|_| "the kernel tells who listens".into()).map_err(|error| error.to_string())
}

fn client_address(family: Family) -> Result<String, String> {
    let reflect = if family == Family::V4 { FWMARK_REFLECT_V4 } else { FWMARK_REFLECT_V6 };
    let tried = passage::may_be_transparent(family)
        .and_then(|()| [FWMARK_ACCEPT, reflect].into_iter().try_for_each(Sysctl::may_switch_on))
        .and_then(|()| Netlink::open()?.rival(family));
    match tried {
        Ok(None) => Ok("apps see their clients' addresses".into()),
        Ok(Some(rival)) => Err(rival),
        Err(error) => Err(error.to_string()),
    }
}

fn ipv6() -> Result<String, String> {
    let bound: io::Result<_> = TcpListener::bind(("::1", 0));
    bound.map(|_| "::1 can be listened on".into()).map_err(|error| format!("::1: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_root_everything_is_found_and_nothing_changed() {
        let node = crate::capture::tests::pod::Pod::new();
        let before = node.pod.ip(&["rule"]);
        let checks = checks(&node.pod.reference());
        assert!(checks.iter().all(|check| check.result.is_ok()), "{checks:#?}");
        assert_eq!(node.pod.ip(&["rule"]), before);
    }

    #[test]
    fn a_missing_namespace_is_told_with_what_to_do() {
        let checks = checks(&NetnsRef::Path("/run/netns/umbra-missing".into()));
        let namespace = checks.iter().find(|check| check.name == "namespace").unwrap();
        let shortfall = namespace.result.as_ref().unwrap_err();
        assert!(shortfall.reason.contains("umbra-missing"));
        assert!(shortfall.fallback.contains("spec.capture.direct"));
    }
}
