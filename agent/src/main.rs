//! The `umbra` command.

use std::process::ExitCode;

/// glibc keeps an arena for each thread; what one of them freed of another's stayed resident after a burst of copies.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    umbra::cli::main()
}
