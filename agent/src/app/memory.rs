//! What the agent asks of its allocator and of the kernel so that it stays small beside the applications it serves.

#![allow(unsafe_code, reason = "no crate wraps mi_collect, or tells where the program's own pages are")]

use std::{ffi::c_void, ptr, slice};

use nix::libc::{self, PF_W, PT_LOAD};
use rustix::{
    mm::{Advice, madvise},
    param::page_size,
};

/// Gives back what was freed. The allocator does so by itself, but only when a thread frees more, which in an agent
/// without traffic it does not: the types of the whole kernel, read to load a program (30 MiB), would stay.
pub(super) fn give_back() {
    // SAFETY: takes no pointer and may be called at any time, on any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Gives back what this thread holds and nobody uses. Its blocks that other threads freed come back only when it asks
/// for more of their size, which it may never do.
pub(super) fn tidy() {
    // SAFETY: as above.
    unsafe { libmimalloc_sys::mi_collect(false) }
}

/// Lets go of the pages of the program itself, most of which only starting needed. What still runs comes back from the page
/// cache as it runs; the rest belongs to no process any more, and the kernel can have it back before it takes anybody's.
pub(super) fn let_go_of_the_program() {
    // SAFETY: the callback upholds what it is called with, and takes no data.
    unsafe { libc::dl_iterate_phdr(Some(let_go), ptr::null_mut()) };
}

/// Called for the program, which comes first; 1 ends it there.
unsafe extern "C" fn let_go(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> libc::c_int {
    // SAFETY: dl_iterate_phdr(3) passes a description of a loaded object that is valid for the call.
    let (base, segments) = unsafe {
        ((*object).dlpi_addr, slice::from_raw_parts((*object).dlpi_phdr, (*object).dlpi_phnum.into()))
    };
    for segment in segments.iter().filter(|segment| segment.p_type == PT_LOAD && segment.p_flags & PF_W == 0)
    {
        let start = usize::try_from(base + segment.p_vaddr).unwrap_or_default();
        let within = start % page_size();
        let length = within + usize::try_from(segment.p_memsz).unwrap_or_default();
        // SAFETY: nobody can have written to these pages, so what is read of them next, from the file, is what was there.
        // A refusal leaves them as they are.
        let _ =
            unsafe { madvise(ptr::without_provenance_mut(start - within), length, Advice::LinuxDontNeed) };
    }
    1
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Pages of files that are mapped, in KiB.
    fn of_files() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn a_program_that_is_let_go_of_runs_on_in_less_memory() {
        let before = of_files();
        let_go_of_the_program();
        let after = of_files();
        assert!(after < before, "{after} KiB after {before}");
        assert_eq!(format!("{:?}", [0.5, 1e300]), "[0.5, 1e300]");
    }
}
