//! Which programs a namespace runs: aya offers the query for other hooks only, so it is asked here by system
//! call.
#![allow(unsafe_code, reason = "the bpf system call, until aya can query a namespace")]

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use aya::programs::{ProgramInfo, loaded_programs};
use nix::libc;

use super::loader::PROGRAM;

const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_SK_LOOKUP: u32 = 36;

/// More programs than one namespace can hold (`MAX_NETNS_BPF_PROGS`, 64).
const PROGRAMS: u32 = 64;

/// `union bpf_attr`, the part of `BPF_PROG_QUERY` that Linux 5.9 knows.
#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// Whether another agent than the one with this program has its own in the namespace.
pub(super) fn another_agent(netns: impl AsFd, own_program: u32) -> io::Result<bool> {
    let mut attached = attached(netns)?;
    attached.remove(&own_program);
    if attached.is_empty() {
        return Ok(false);
    }
    let agents =
        |program: &ProgramInfo| attached.contains(&program.id()) && program.name_as_str() == Some(PROGRAM);
    // A program may vanish while they are listed: it is not there any more, so it does not count.
    Ok(loaded_programs().filter_map(Result::ok).any(|program| agents(&program)))
}

pub(super) fn attached(netns: impl AsFd) -> io::Result<HashSet<u32>> {
    let mut ids = [0_u32; PROGRAMS as usize];
    let mut query = Query {
        target_fd: u32::try_from(netns.as_fd().as_raw_fd()).map_err(io::Error::other)?,
        attach_type: BPF_SK_LOOKUP,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: PROGRAMS,
        ..Query::default()
    };
    // SAFETY: `query` is as large as said and outlives the call, as does `ids`, whose length it carries.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, std::ptr::from_mut(&mut query), size_of::<Query>())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ids.into_iter().take(query.prog_cnt as usize).collect())
}
