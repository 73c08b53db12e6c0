//! What this machine allows, found by trying it: for `umbra doctor`. Nothing is changed, and nothing
//! captured.

mod inside;
mod machine;

use std::{path::PathBuf, sync::Arc};

use super::{Pods, Runtime, netns::Netns};
use crate::config::umbra::NetnsRef;

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
    /// The best that is possible without it.
    pub leaves: Mode,
}

/// How an agent works in a namespace, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Full,
    LocalAddress,
    Direct,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::LocalAddress => "local address",
            Self::Direct => "direct",
        }
    }

    /// For a person.
    pub fn tell(self) -> &'static str {
        match self {
            Self::Full => "the kernel hands connections over, and apps see their clients' addresses",
            Self::LocalAddress => {
                "the kernel hands connections over, and apps see a local address (clientAddress: local)"
            }
            Self::Direct => {
                "nothing is captured here; plain listeners in front of the apps (spec.capture.direct) work"
            }
        }
    }
}

/// What umbra does without a thing.
#[derive(Clone, Copy)]
struct Fallback(Mode, &'static str);

const DIRECT: Fallback = Fallback(
    Mode::Direct,
    "plain listeners in front of the apps (spec.capture.direct) need no kernel support",
);

const BY_CGROUP: Fallback = Fallback(Mode::Full, "pods are found by their cgroups");

/// Tries everything that enrolling this namespace takes, each thing by itself; and the container runtime at a socket.
pub fn checks(netns: &NetnsRef, cri_socket: Option<PathBuf>) -> Vec<Check> {
    let mut checks = machine::checks();
    let runtime = cri_socket.map(|socket| Arc::new(Runtime::at(socket)));
    checks.extend(runtime.iter().map(|runtime| check("container runtime", BY_CGROUP, runtime.version())));
    let entered = Netns::open_of(netns, &mut Pods::by(runtime)).and_then(|open| {
        // Inside on a thread of its own: half of these answers belong to a namespace.
        let inside = open.on_thread(|| inside::checks(&open))?;
        checks.push(check("namespace", DIRECT, Ok(format!("{} can be entered", open.name()))));
        checks.extend(inside);
        Ok(())
    });
    if let Err(error) = entered {
        checks.push(check("namespace", DIRECT, Err(format!("{netns} cannot be entered: {error}"))));
    }
    checks
}

/// How an agent would work, and the checks that leave nothing better.
pub fn mode(checks: &[Check]) -> (Mode, Vec<&Check>) {
    let leaves = |check: &Check| check.result.as_ref().map_or_else(|short| short.leaves, |_| Mode::Full);
    let mode = checks.iter().map(leaves).max().unwrap_or(Mode::Full);
    let why = checks.iter().filter(|check| check.result.is_err() && leaves(check) == mode);
    (mode, if mode == Mode::Full { Vec::new() } else { why.collect() })
}

fn check(name: &'static str, Fallback(leaves, fallback): Fallback, result: Result<String, String>) -> Check {
    Check { name, result: result.map_err(|reason| Shortfall { reason, fallback, leaves }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_root_everything_is_found_and_nothing_changed() {
        let node = crate::capture::tests::pod::Pod::new();
        let before = node.pod.ip(&["rule"]);
        let checks = checks(&node.pod.reference(), None);
        assert!(checks.iter().all(|check| check.result.is_ok()), "{checks:#?}");
        assert_eq!(mode(&checks), (Mode::Full, Vec::new()));
        assert_eq!(node.pod.ip(&["rule"]), before);
    }

    #[test]
    fn a_missing_namespace_is_told_with_what_to_do() {
        let checks = checks(&NetnsRef::Path("/run/netns/umbra-missing".into()), None);
        let namespace = checks.iter().find(|check| check.name == "namespace").unwrap();
        let shortfall = namespace.result.as_ref().unwrap_err();
        assert!(shortfall.reason.contains("umbra-missing"));
        assert!(shortfall.fallback.contains("spec.capture.direct"));
        let (mode, why) = mode(&checks);
        assert_eq!((mode, why[0].name), (Mode::Direct, "namespace"));
    }

    #[test]
    fn a_mesh_a_rival_rule_and_another_program_are_found() {
        let node = crate::capture::tests::pod::Pod::new();
        let sidecar = node.pod.inside(|| std::net::TcpListener::bind("0.0.0.0:15006")).unwrap();
        node.pod.ip(&["rule", "add", "fwmark", "0x4d", "lookup", "99", "priority", "10"]);
        let all = checks(&node.pod.reference(), None);
        let found = |name: &str| {
            let check = all.iter().find(|check| check.name == name).unwrap();
            check.result.as_ref().unwrap_err().reason.clone()
        };
        assert!(found("service mesh").contains("15006"));
        assert!(found("client address over IPv4").contains("0x4d"));
        assert_eq!(mode(&all).0, Mode::Direct);
        drop(sidecar);
        let all = checks(&node.pod.reference(), None);
        let (mode, why) = mode(&all);
        assert_eq!((mode, why[0].name), (Mode::LocalAddress, "client address over IPv4"));
    }
}
