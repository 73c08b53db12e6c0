//! Hands new connections to captured endpoints to the agent's listeners: an `sk_lookup` program (Linux >=
//! 5.9), one instance with maps of its own per network namespace. It refuses to ever drop: whatever it cannot
//! decide or do is left to the kernel's own lookup, and counted.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg_attr(not(target_arch = "bpf"), allow(dead_code, reason = "the host only tests the decision"))]
mod decision;

#[cfg(target_arch = "bpf")]
mod program;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
