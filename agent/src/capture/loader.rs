//! The inbound program: embedded by build.rs, loaded once per namespace with maps of its own, attached by a
//! link that ends with the process. It refuses to pin anything: pinned parts would outlive the agent.

use std::{
    os::fd::AsFd,
    sync::{LazyLock, Mutex, PoisonError},
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{SkLookup, sk_lookup::SkLookupLink},
};
use umbra_common::Seed;

use super::maps::Maps;

/// Empty when no eBPF toolchain was there at build time.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/inbound"));

/// The program's name, as the kernel shows it and as the object calls it.
pub(super) const PROGRAM: &str = "umbra_inbound";
/// The map of sources that it lets through; by this name other agents find it.
pub(super) const BYPASS: &str = "BYPASS";

/// Why the program does not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("this agent was built without eBPF; run `cargo xtask setup` and build it again")]
    NotBuilt,
    #[error("the kernel does not load the inbound program (Linux >= 5.9, CAP_BPF and CAP_NET_ADMIN): {0}")]
    Object(#[from] aya::EbpfError),
    #[error("the kernel does not take the inbound program (Linux >= 5.9, CAP_BPF and CAP_NET_ADMIN): {0}")]
    Program(#[from] aya::programs::ProgramError),
    #[error("a map of the inbound program cannot be used: {0}")]
    Map(#[from] aya::maps::MapError),
    #[error("the inbound object has no {0}; rebuild the agent")]
    Missing(&'static str),
}

/// A program loaded, not attached yet.
pub(super) struct Loaded {
    ebpf: Ebpf,
}

/// The program runs in a namespace until this is dropped.
pub(super) struct Link {
    /// The kernel's number of the program.
    pub(super) program: u32,
    _attached: SkLookupLink,
}

/// Made once: whatever it is told, aya's loader first reads the types of the whole kernel, which takes 30 MiB and tens
/// of milliseconds. This program has nothing to relocate by them.
static LOADER: LazyLock<Mutex<Loader>> = LazyLock::new(|| {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    Mutex::new(Loader { loader, seed: None })
});

struct Loader {
    loader: EbpfLoader<'static>,
    /// The one it holds now.
    seed: Option<Seed>,
}

impl Loader {
    fn load(&mut self, seed: Seed) -> Result<Ebpf, LoadError> {
        if self.seed.replace(seed) != Some(seed) {
            // It wants the value for as long as it lives: eight bytes for each seed, and an agent has one.
            self.loader.override_global("SEED", &*Box::leak(Box::new(seed.0)), true);
        }
        Ok(self.loader.load(OBJECT)?)
    }
}

/// Loads the program and its maps.
pub(super) fn load(seed: Seed) -> Result<Loaded, LoadError> {
    if OBJECT.is_empty() {
        return Err(LoadError::NotBuilt);
    }
    let mut ebpf = LOADER.lock().unwrap_or_else(PoisonError::into_inner).load(seed)?;
    // The kernel checks it without the lock: this is what takes long.
    program(&mut ebpf)?.load()?;
    Ok(Loaded { ebpf })
}

impl Loaded {
    /// Attaches the program to a namespace.
    pub(super) fn attach(mut self, netns: impl AsFd) -> Result<(Maps, Link), LoadError> {
        let maps = Maps::take(&mut self.ebpf)?;
        let program = program(&mut self.ebpf)?;
        let id = program.info()?.id();
        let link = program.attach(netns)?;
        Ok((maps, Link { program: id, _attached: program.take_link(link)? }))
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut SkLookup, LoadError> {
    Ok(ebpf.program_mut(PROGRAM).ok_or(LoadError::Missing("program"))?.try_into()?)
}
