//! What holds for the machine and this process, whatever the namespace.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities as held};
use umbra_common::Seed;

use super::{Check, DIRECT, Fallback, Mode, check};
use crate::{
    capture::loader,
    process::{Usage, memory::Memory, privileges::NEEDED},
};

const UNSTEERED: Fallback =
    Fallback(Mode::Full, "maxCpuPressure of ShadowPolicies has no effect; their other limits have");
const OTHER_PORT: Fallback =
    Fallback(Mode::Full, "clients on ports below 1024 keep their address, and come from another port");
const BY_PATH: Fallback =
    Fallback(Mode::Full, "namespaces of other users' processes are named by a path instead of pid:N");
const SHED: Fallback = Fallback(Mode::Full, "near the limit new connections go to the apps directly");

/// Namespaces cannot be enrolled without these.
const VITAL: CapabilitySet =
    CapabilitySet::NET_ADMIN.union(CapabilitySet::SYS_ADMIN).union(CapabilitySet::BPF);

/// Fewer would hardly carry a thousand connections.
const FEW_FILES: u64 = 4096;

/// An agent at rest, and copies that may wait (`shadow.queue.bytes`), have this much by default.
const LITTLE_MEMORY: u64 = 96 << 20;

pub(super) fn checks() -> Vec<Check> {
    let version = version();
    vec![
        check("kernel", DIRECT, kernel(version)),
        check("BTF", DIRECT, Ok(types())),
        check("capabilities", DIRECT, capabilities(|one| VITAL.contains(one))),
        check("low ports", OTHER_PORT, capabilities(|one| one == CapabilitySet::NET_BIND_SERVICE)),
        check("other processes", BY_PATH, capabilities(|one| one == CapabilitySet::SYS_PTRACE)),
        check("program", DIRECT, program()),
        check("locked memory", DIRECT, locked_memory(version)),
        check("open files", SHED, open_files()),
        check("memory limit", SHED, memory()),
        check("CPU pressure", UNSTEERED, cpu_pressure()),
    ]
}

fn release() -> Result<String, String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|error| error.to_string())?;
    Ok(release.trim().to_owned())
}

fn version() -> Option<(u32, u32)> {
    let release = release().ok()?;
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn kernel(version: Option<(u32, u32)>) -> Result<String, String> {
    let release = release()?;
    match version {
        Some(version) if version < (5, 9) => {
            Err(format!("Linux {release} is older than 5.9, the first with sk_lookup"))
        }
        _ => Ok(format!("Linux {release}")),
    }
}

/// Maps are described in BTF of the program's own; that of the kernel is not needed.
fn types() -> String {
    let there = fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false);
    let text = if there { "the kernel describes its types" } else { "none of the kernel's" };
    format!("{text} (not needed)")
}

fn capabilities(wanted: impl Fn(CapabilitySet) -> bool) -> Result<String, String> {
    let held = held(None).map_err(|error| error.to_string())?.effective;
    let wanted: Vec<_> = NEEDED.into_iter().filter(|(one, ..)| wanted(*one)).collect();
    let missing: Vec<_> = wanted.iter().filter(|(one, ..)| !held.contains(*one)).collect();
    if missing.is_empty() {
        return Ok(wanted.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", "));
    }
    let told = missing.iter().map(|(_, name, what_for)| format!("{name} ({what_for})"));
    Err(format!("missing {}", told.collect::<Vec<_>>().join(", ")))
}

fn program() -> Result<String, String> {
    loader::load(Seed::default())
        .map(|_| "the inbound program loads".into())
        .map_err(|error| error.to_string())
}

/// Since Linux 5.11 what programs and maps take counts as any other memory.
fn locked_memory(version: Option<(u32, u32)>) -> Result<String, String> {
    const MEMLOCK: &str = "the limit of locked memory (RLIMIT_MEMLOCK)";
    if version.is_none_or(|version| version >= (5, 11)) {
        return Ok(format!("{MEMLOCK} does not matter here"));
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|error| error.to_string())?;
    let raises =
        held(None).is_ok_and(|held| held.effective.contains(CapabilitySet::SYS_RESOURCE)) || hard == u64::MAX;
    if raises {
        return Ok(format!("{MEMLOCK} can be raised"));
    }
    Err(format!("{MEMLOCK} is {hard} bytes: maps of many namespaces may not fit before Linux 5.11"))
}

fn open_files() -> Result<String, String> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    let text = format!("{hard} may be open, two for each connection (RLIMIT_NOFILE)");
    if hard < FEW_FILES { Err(text) } else { Ok(text) }
}

fn memory() -> Result<String, String> {
    let Some(memory) = Memory::own() else {
        return Ok("none: no control group accounts for memory".into());
    };
    let version = memory.version();
    let Some(Usage { used, limit }) = memory.usage() else {
        return Ok(format!("none (control groups {version})"));
    };
    let text = format!(
        "{} MiB, of which {} are used (control groups {version})",
        limit >> 20,
        used.div_ceil(1 << 20)
    );
    if limit < LITTLE_MEMORY { Err(text) } else { Ok(text) }
}

fn cpu_pressure() -> Result<String, String> {
    const PRESSURE: &str = "/proc/pressure/cpu";
    let read = fs::read_to_string(PRESSURE);
    let missing =
        |error| format!("{PRESSURE}: {error}; it takes CONFIG_PSI, and psi=1 where that is off by default");
    read.map(|_| "the kernel tells how busy the CPUs are".into()).map_err(missing)
}
