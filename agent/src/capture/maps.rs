//! What the agent says to the program of one namespace and hears from it: map names live here only.

use std::{
    collections::{self, HashSet, VecDeque},
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{Array, HashMap, LpmTrie, MapData, MapError, PerCpuArray, SockMap, lpm_trie::Key},
};
use ipnet::IpNet;
use nix::time::{ClockId, clock_gettime};
use umbra_common::{Address, Endpoint, LISTENERS, SHED, Verdict};

use super::loader::{BYPASS, LoadError};
use crate::route::Share;

/// How long an endpoint whose app does not listen is left to the kernel.
pub const RELEASE: Duration = Duration::from_secs(1);

/// How long an endpoint is left to the kernel when ports to reach its app from run out: connections that hold them end
/// meanwhile, and closed ones stop lingering.
const PORTS_SCARCE: Duration = Duration::from_secs(10);

/// How long a connected source stays known to the program: the last packet of a handshake may be looked up
/// once more just after `connect` returned, always with SYN cookies, which a listener with a full queue sends.
const BYPASS_LINGER: Duration = Duration::from_millis(200);

/// An endpoint to capture: every address of the namespace when it names none.
pub type Captured = (Option<IpAddr>, u16);

/// The maps of one program. Locks are held for one system call.
pub(super) struct Maps {
    captured: Mutex<HashMap<MapData, Endpoint, u32>>,
    exempt: Mutex<LpmTrie<MapData, [u8; 16], u8>>,
    bypass: Mutex<Bypass>,
    released: Mutex<HashMap<MapData, Endpoint, u64>>,
    heartbeat: Mutex<Array<MapData, u64>>,
    sockets: Mutex<SockMap<MapData>>,
    verdicts: PerCpuArray<MapData, u64>,
    /// Until when some endpoint is left to the kernel for lack of ports; the kernel's clock.
    ports_scarce_until: AtomicU64,
}

struct Bypass {
    map: HashMap<MapData, Endpoint, u8>,
    /// The same of other agents in the namespace.
    neighbours: Vec<HashMap<MapData, Endpoint, u8>>,
    /// Sources whose connections are made, oldest first. Bounded by the map.
    leaving: VecDeque<(Instant, Endpoint)>,
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        let mut map = |name: &'static str| ebpf.take_map(name).ok_or(LoadError::Missing(name));
        Ok(Self {
            captured: Mutex::new(map("CAPTURED")?.try_into()?),
            exempt: Mutex::new(map("EXEMPT")?.try_into()?),
            bypass: Mutex::new(Bypass {
                map: map(BYPASS)?.try_into()?,
                neighbours: Vec::new(),
                leaving: VecDeque::new(),
            }),
            released: Mutex::new(map("RELEASED")?.try_into()?),
            heartbeat: Mutex::new(map("HEARTBEAT")?.try_into()?),
            sockets: Mutex::new(map("SOCKETS")?.try_into()?),
            verdicts: map("VERDICTS")?.try_into()?,
            ports_scarce_until: AtomicU64::new(0),
        })
    }

    /// Makes the captured set equal this one. What is in both stays captured throughout, at the old share or the new.
    pub(super) fn capture(&self, endpoints: &[(Captured, Share)]) -> Result<(), MapError> {
        let endpoint =
            |(address, port): Captured| Endpoint::new(address.map_or(Address::ANY, canonical), port);
        let wanted: collections::HashMap<_, _> =
            endpoints.iter().map(|&(captured, Share(share))| (endpoint(captured), share)).collect();
        let mut captured = lock(&self.captured);
        let present = captured.iter().collect::<Result<collections::HashMap<_, _>, _>>()?;
        for endpoint in present.keys().filter(|endpoint| !wanted.contains_key(endpoint)) {
            captured.remove(endpoint)?;
        }
        for (endpoint, share) in
            wanted.iter().filter(|(endpoint, share)| present.get(endpoint) != Some(share))
        {
            captured.insert(endpoint, share, 0)?;
        }
        Ok(())
    }

    /// Makes the sources that are never captured equal these.
    pub(super) fn exempt(&self, sources: &[IpNet]) -> Result<(), MapError> {
        let wanted: HashSet<_> = sources.iter().map(prefix).collect();
        let mut exempt = lock(&self.exempt);
        for (length, address) in &wanted {
            exempt.insert(&Key::new(*length, *address), 1, 0)?;
        }
        let present = exempt.keys().collect::<Result<Vec<_>, _>>()?;
        for key in present.iter().filter(|key| !wanted.contains(&(key.prefix_len(), key.data()))) {
            exempt.remove(key)?;
        }
        Ok(())
    }

    /// Offers the listeners of the workers to the program, those of a family in the order of the workers.
    pub(super) fn offer(&self, v4: &[TcpListener], v6: &[TcpListener]) -> Result<(), MapError> {
        let mut sockets = lock(&self.sockets);
        for (slot, listener) in (0..LISTENERS).zip(v4) {
            sockets.set(slot, listener, 0)?;
        }
        for (slot, listener) in (LISTENERS..2 * LISTENERS).zip(v6) {
            sockets.set(slot, listener, 0)?;
        }
        Ok(())
    }

    /// Takes the listeners back: nothing more is assigned to them.
    pub(super) fn hand_back(&self) {
        let mut sockets = lock(&self.sockets);
        for slot in 0..2 * LISTENERS {
            // An empty slot is an error to the kernel and what is wanted here.
            let _ = sockets.clear_index(&slot);
        }
    }

    /// Says that the agent is alive.
    pub(super) fn beat(&self) -> Result<(), MapError> {
        self.say(now())
    }

    /// Says that the agent hangs: nothing is captured, from now on.
    pub(super) fn silence(&self) -> Result<(), MapError> {
        self.say(0)
    }

    /// Says that the agent is alive and has no room for more.
    pub(super) fn shed(&self) -> Result<(), MapError> {
        self.say(SHED)
    }

    fn say(&self, beat: u64) -> Result<(), MapError> {
        lock(&self.heartbeat).set(0, beat, 0)?;
        lock(&self.bypass).sweep();
        Ok(())
    }

    /// Leaves an endpoint to the kernel for [`RELEASE`].
    pub(super) fn release(&self, endpoint: SocketAddr) -> Result<(), MapError> {
        lock(&self.released).insert(Endpoint::from(endpoint), after(RELEASE), 0)
    }

    /// Leaves an endpoint to the kernel for [`PORTS_SCARCE`]: its app can hardly be reached any more, and clients are to
    /// meet it directly before it cannot be reached at all.
    pub(super) fn release_for_ports(&self, endpoint: SocketAddr) -> Result<(), MapError> {
        let until = after(PORTS_SCARCE);
        lock(&self.released).insert(Endpoint::from(endpoint), until, 0)?;
        self.ports_scarce_until.store(until, Ordering::Relaxed);
        Ok(())
    }

    /// Whether some endpoint is left to the kernel for lack of ports.
    pub(super) fn lacks_ports(&self) -> bool {
        now() < self.ports_scarce_until.load(Ordering::Relaxed)
    }

    /// Announces the source of a connection the agent is about to make.
    pub(super) fn bypass(&self, source: SocketAddr) -> Result<Bypassed<'_>, MapError> {
        let source = Endpoint::from(source);
        let mut bypass = lock(&self.bypass);
        bypass.sweep();
        bypass.leaving.retain(|(_, leaving)| *leaving != source);
        bypass.map.insert(source, 1, 0)?;
        for neighbour in &mut bypass.neighbours {
            // One that has no room, or is gone, captures the connection: no worse than not to know it.
            let _ = neighbour.insert(source, 1, 0);
        }
        Ok(Bypassed { maps: self, source })
    }

    /// From now on sources are announced to these as well.
    pub(super) fn announce_to(&self, neighbours: Vec<HashMap<MapData, Endpoint, u8>>) {
        lock(&self.bypass).neighbours = neighbours;
    }

    /// How often each verdict was given since the program was loaded, summed over the CPUs.
    pub(super) fn verdicts(&self) -> Result<Vec<(Verdict, u64)>, MapError> {
        let count = |&verdict: &Verdict| Ok((verdict, self.verdicts.get(&(verdict as u32), 0)?.iter().sum()));
        Verdict::ALL.iter().map(count).collect()
    }
}

impl Bypass {
    fn sweep(&mut self) {
        while let Some((_, source)) = self.leaving.pop_front_if(|(since, _)| since.elapsed() > BYPASS_LINGER)
        {
            // Already gone is as good.
            for map in self.neighbours.iter_mut().chain([&mut self.map]) {
                let _ = map.remove(&source);
            }
        }
    }
}

/// A source the program lets through. Once this is dropped it stays so for a moment more.
pub(super) struct Bypassed<'a> {
    maps: &'a Maps,
    source: Endpoint,
}

impl Drop for Bypassed<'_> {
    fn drop(&mut self) {
        lock(&self.maps.bypass).leaving.push_back((Instant::now(), self.source));
    }
}

/// As the program compares them: IPv4 within IPv6.
fn prefix(network: &IpNet) -> (u32, [u8; 16]) {
    let mapped = if network.addr().is_ipv4() { 96 } else { 0 };
    (mapped + u32::from(network.prefix_len()), Address::from(network.network()).0)
}

fn canonical(address: IpAddr) -> Address {
    address.to_canonical().into()
}

/// The clock of the kernel's `bpf_ktime_get_ns`, nanoseconds. 0 should it fail: a heartbeat that never was.
fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .ok()
        .and_then(|now| u64::try_from(Duration::from(now).as_nanos()).ok())
        .unwrap_or(0)
}

fn after(duration: Duration) -> u64 {
    now().saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// A map is one handle: a panic elsewhere leaves nothing half done in it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
