//! What the agent asks of its allocator so that it stays small beside the applications it serves.

#![allow(unsafe_code, reason = "no crate wraps mi_collect")]

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
