//! Least privilege: of what the process was started with it keeps what capturing takes, and gives up the rest for good.
//! Where something cannot be given up that is told, and the process runs on.
//!
//! Capabilities belong to threads and are inherited by those they start, so the first step comes before the second thread.

#![allow(
    unsafe_code,
    reason = "no crate sets a seccomp filter for all threads and keeps the CPU's speculation"
)]

use std::{collections::BTreeMap, io};

use nix::libc;
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
        clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs,
    },
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// What capturing takes, each with what it is for.
pub const NEEDED: [(CapabilitySet, &str, &str); 5] = [
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN", "rules, routes and clients' addresses"),
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN", "entering network namespaces"),
    (CapabilitySet::BPF, "CAP_BPF", "the program in the kernel"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE", "namespaces named by a process of another user"),
    (CapabilitySet::NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", "clients' ports below 1024"),
];

/// Reading files of any owner: rules and keys in a home directory, for an agent started by sudo. For the first thread, which
/// reads them, and only where it was given.
const READING: CapabilitySet = CapabilitySet::DAC_READ_SEARCH;

/// Whether the process starts others once it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    Forbidden,
    /// The program that a kubeconfig names for credentials (`exec`): those end, and it is run for the next.
    Allowed,
}

const STARTING: [libc::c_long; 2] = [libc::SYS_execve, libc::SYS_execveat];

/// What no part of an agent ever does, and what somebody who has taken one over would do first: reading other processes,
/// mounting, changing the kernel, and, as a rule, starting programs. `bpf` and `setns` are not among them: namespaces come and go.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
];

/// Gives up every capability but [`NEEDED`] and `READING`, also for programs that would be started, and the right to gain
/// any. To be called on the first thread before there is another. Returns what could not be given up.
pub fn keep_needed() -> Vec<String> {
    let needed = needed() | READING;
    // Before Linux 5.11 programs and maps are memory that is locked. Raising the limit takes a right that goes next; up to
    // what it was given anybody may.
    let hard = getrlimit(Resource::Memlock).maximum;
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })
        .or_else(|_| setrlimit(Resource::Memlock, Rlimit { current: hard, maximum: hard }));
    let steps = [
        ("capabilities of the bounding set", bound(needed)),
        ("ambient capabilities", clear_ambient_capability_set()),
        ("capabilities", restrict(needed)),
        ("the right to gain privileges (no_new_privs)", set_no_new_privs(true)),
    ];
    let failed = |(what, step): (&str, Result<(), Errno>)| Some(format!("{what}: {}", step.err()?));
    steps.into_iter().filter_map(failed).collect()
}

/// The calling thread keeps [`NEEDED`] alone: for those that carry traffic, and for the heart.
pub fn keep_for_traffic() {
    told(restrict(needed()));
}

/// The calling thread keeps nothing: for threads that only talk to shadows.
pub fn keep_nothing() {
    told(restrict(CapabilitySet::empty()));
}

/// The calling thread keeps the right to use maps, which before Linux 5.19 takes one where unprivileged BPF is disabled.
pub fn keep_maps() {
    told(restrict(CapabilitySet::BPF));
}

fn needed() -> CapabilitySet {
    NEEDED.iter().fold(CapabilitySet::empty(), |all, (one, ..)| all | *one)
}

fn told(given_up: Result<(), Errno>) {
    if let Err(error) = given_up {
        tracing::debug!(%error, "a thread keeps its capabilities");
    }
}

fn restrict(to: CapabilitySet) -> Result<(), Errno> {
    let CapabilitySets { effective, permitted, .. } = capabilities(None)?;
    let inheritable = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets { effective: effective & to, permitted: permitted & to, inheritable },
    )
}

/// Capabilities that this program does not know by name are among those that go.
fn bound(to: CapabilitySet) -> Result<(), Errno> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !to.contains(capability) => remove_capability_from_bounding_set(capability)?,
            Ok(_) => {}
            // The kernel knows no further one.
            Err(_) => break,
        }
    }
    Ok(())
}

/// From now on none of `FORBIDDEN`, and of programs what is said, works, on any thread: they fail with EPERM. To be called when every part has started.
///
/// # Errors
/// When the kernel takes no filter (`CONFIG_SECCOMP_FILTER`), or the processor is one the filter cannot be made for.
pub fn forbid(programs: Programs) -> io::Result<()> {
    let program = filter(programs)?;
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    // `struct sock_filter` of both crates is the kernel's.
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // All threads at once; and without the brakes on speculation that kernels before 5.16 put on those with a filter, which
    // would slow down the primary.
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the filter and its instructions outlive the call, which only reads them.
    let refused = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&filter))
    };
    match refused {
        0 => Ok(()),
        thread if thread > 0 => Err(io::Error::other(format!("thread {thread} has a filter of its own"))),
        _ => Err(io::Error::last_os_error()),
    }
}

fn filter(programs: Programs) -> io::Result<BpfProgram> {
    let starting = STARTING.iter().filter(|_| programs == Programs::Forbidden);
    // Without conditions a rule holds whatever the arguments.
    let rules: BTreeMap<i64, _> = FORBIDDEN.iter().chain(starting).map(|&call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let here = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, here).map_err(io::Error::other)?;
    filter.try_into().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `/proc` says of a thread that did this; the test's own threads keep theirs.
    fn of_thread_after(act: impl FnOnce() + Send) -> String {
        let act = || {
            act();
            std::fs::read_to_string("/proc/thread-self/status").unwrap()
        };
        std::thread::scope(|scope| scope.spawn(act).join().unwrap())
    }

    fn capabilities_of(status: &str, set: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    }

    #[test]
    fn what_is_not_needed_is_gone_for_good() {
        let status = of_thread_after(|| {
            assert_eq!(keep_needed(), Vec::<String>::new());
        });
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(capabilities_of(&status, set), (needed() | READING).bits(), "{set}");
        }
        assert_eq!(capabilities_of(&status, "CapInh") | capabilities_of(&status, "CapAmb"), 0);
        assert!(status.contains("NoNewPrivs:\t1"));
    }

    #[test]
    fn a_process_that_has_nothing_to_give_up_goes_on() {
        let status = of_thread_after(|| {
            keep_nothing();
            let told = keep_needed();
            assert!(told.iter().any(|line| line.contains("bounding")), "{told:?}");
        });
        assert_eq!(capabilities_of(&status, "CapEff"), 0);
        let status = of_thread_after(keep_maps);
        assert_eq!(capabilities_of(&status, "CapEff"), CapabilitySet::BPF.bits());
        let status = of_thread_after(keep_for_traffic);
        assert_eq!(capabilities_of(&status, "CapEff"), needed().bits());
    }

    #[test]
    fn what_is_forbidden_fails_and_the_thread_lives() {
        of_thread_after(|| {
            // This thread alone, and not with those of other tests: a process can never get rid of it.
            seccompiler::apply_filter(&filter(Programs::Forbidden).unwrap()).unwrap();
            let started = std::process::Command::new("true").spawn();
            assert_eq!(started.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            // What enrolling takes still works.
            let home = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
            nix::sched::setns(&home, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        });
    }

    #[test]
    fn where_credentials_come_from_a_program_it_can_be_started() {
        of_thread_after(|| {
            seccompiler::apply_filter(&filter(Programs::Allowed).unwrap()).unwrap();
            assert!(std::process::Command::new("true").status().unwrap().success());
            assert_eq!(nix::unistd::chroot("/nowhere").unwrap_err(), nix::errno::Errno::EPERM);
        });
    }
}
