//! The entry point and the maps. Every decision is [`decision::pass`].
#![allow(
    unsafe_code,
    reason = "the kernel's context and maps are bare pointers; the loader finds sections by name"
)]

use core::ptr::addr_of;

use aya_ebpf::{
    Global,
    bindings::{BPF_F_NO_PREALLOC, bpf_sk_lookup, sk_action::SK_PASS},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, SockMap, lpm_trie::Key},
    helpers::bpf_ktime_get_ns,
    macros::{btf_map, sk_lookup},
    programs::SkLookupContext,
};
use umbra_common::{Address, Endpoint, LISTENERS, Seed, Verdict};

use crate::decision::{self, Lookup, View};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

const AF_INET: u32 = 2;
const IPPROTO_TCP: u32 = 6;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;

/// Memory is taken per entry, not for all of them in each of a node's namespaces. Only the agent adds
/// entries.
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// Of the draws of connections. A constant of the program, set when it is loaded.
#[unsafe(no_mangle)]
static SEED: Global<u64> = Global::new(0);

/// Destination, or [`Address::ANY`] with a port → the share of connections to capture, in millionths. Written by the
/// agent, one entry per captured endpoint.
#[btf_map]
static CAPTURED: HashMap<Endpoint, u32, 1024, NO_PREALLOC> = HashMap::new();

/// Source prefix → 1. Written by the agent when it enrols.
#[btf_map]
static EXEMPT: LpmTrie<[u8; 16], u8, 4096> = LpmTrie::new();

/// Source of one of the agent's own connections → 1. Written by the agent before it connects, removed soon
/// after.
#[btf_map]
static BYPASS: HashMap<Endpoint, u8, 4096, NO_PREALLOC> = HashMap::new();

/// Destination whose app does not listen → when to capture it again, ktime. Written by the agent.
#[btf_map]
static RELEASED: LruHashMap<Endpoint, u64, 1024> = LruHashMap::new();

/// 0 → when the agent last said it is alive, ktime. Written by the agent.
#[btf_map]
static HEARTBEAT: Array<u64, 1> = Array::new();

/// Worker → its IPv4 listener; `LISTENERS` + worker → its IPv6 listener. The kernel removes one that is
/// closed.
#[btf_map]
static SOCKETS: SockMap<{ 2 * LISTENERS as usize }> = SockMap::new();

/// Verdict → how often. Written here, read and summed by the agent.
#[btf_map]
static VERDICTS: PerCpuArray<u64, { Verdict::ALL.len() }> = PerCpuArray::new();

#[sk_lookup]
pub(crate) fn umbra_inbound(ctx: SkLookupContext) -> u32 {
    let verdict = match decision::pass(&read(&ctx), &Maps) {
        Some(reason) => reason,
        None => assign(&ctx),
    };
    count(verdict);
    SK_PASS
}

/// Gives the connection to the first listener alive; flags 0 lets its SO_REUSEPORT group share connections
/// out.
#[inline(always)]
fn assign(ctx: &SkLookupContext) -> Verdict {
    // SAFETY: the context is valid while the program runs; each field is read at its own width, as the
    // verifier asks.
    let family = unsafe { addr_of!((*ctx.lookup).family).read_volatile() };
    let first = if family == AF_INET { 0 } else { LISTENERS };
    for slot in first..first + LISTENERS {
        match SOCKETS.redirect_sk_lookup(ctx, slot, 0) {
            Ok(()) => return Verdict::Assigned,
            Err(errno) if errno == -ENOENT => {}
            Err(errno) if errno == -EEXIST => return Verdict::Taken,
            // The socket is being freed, for one: the app answers.
            Err(_) => return Verdict::Error,
        }
    }
    Verdict::NoListener
}

/// `::ffff:0:0/96`, the third of four words in memory order.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

#[inline(always)]
fn read(ctx: &SkLookupContext) -> Lookup {
    let lookup: *const bpf_sk_lookup = ctx.lookup;
    // Every field is read, whatever the family (those of the other one are zero), and each by itself: the
    // verifier accepts neither joined reads nor an offset chosen by a branch. `remote_port` is a big-endian
    // 16-bit field, which before Linux 5.18 was the first half of a 32-bit one; `local_port` is in host
    // order.
    macro_rules! field {
        ($($field:tt)+) => {
            // SAFETY: the context is valid while the program runs.
            unsafe { addr_of!((*lookup).$($field)+).read_volatile() }
        };
    }
    let v4 = field!(family) == AF_INET;
    let tcp = field!(protocol) == IPPROTO_TCP;
    let remote_port = field!(remote_port);
    let local_port = field!(local_port);
    let (remote_v4, local_v4) = (field!(remote_ip4), field!(local_ip4));
    let remote_v6 =
        [field!(remote_ip6[0]), field!(remote_ip6[1]), field!(remote_ip6[2]), field!(remote_ip6[3])];
    let local_v6 = [field!(local_ip6[0]), field!(local_ip6[1]), field!(local_ip6[2]), field!(local_ip6[3])];

    let (remote, local) =
        if v4 { ([0, 0, MAPPED, remote_v4], [0, 0, MAPPED, local_v4]) } else { (remote_v6, local_v6) };
    Lookup {
        tcp,
        source: Endpoint { address: address(remote), port: remote_port.to_ne_bytes() },
        destination: Endpoint::new(address(local), local_port as u16),
    }
}

/// Words as they lie in memory, which is network order.
#[inline(always)]
fn address(words: [u32; 4]) -> Address {
    // SAFETY: both are sixteen bytes, and every pattern of them is an address. By bytes, the compiler would
    // shift each of them through the stack.
    Address(unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) })
}

#[inline(always)]
fn count(verdict: Verdict) {
    if let Some(counter) = VERDICTS.get_ptr_mut(verdict as u32) {
        // SAFETY: this CPU's own cell; the program is not preempted by itself, so nothing is lost.
        unsafe { *counter += 1 };
    }
}

struct Maps;

// SAFETY of the reads: values are read whole at once, and a racing update or removal yields the old value,
// the new one or that of an entry just replaced: each is a verdict that was right a moment ago.
impl View for Maps {
    #[inline(always)]
    fn captured(&self, destination: &Endpoint) -> Option<u32> {
        // SAFETY: see above.
        CAPTURED.get_ptr(destination).map(|share| unsafe { share.read_volatile() })
    }

    #[inline(always)]
    fn exempt(&self, source: &Address) -> bool {
        EXEMPT.get(&Key::new(128, source.0)).is_some()
    }

    #[inline(always)]
    fn bypassed(&self, source: &Endpoint) -> bool {
        BYPASS.get_ptr(source).is_some()
    }

    #[inline(always)]
    fn released_until(&self, destination: &Endpoint) -> Option<u64> {
        // SAFETY: see above.
        RELEASED.get_ptr(destination).map(|until| unsafe { until.read_volatile() })
    }

    #[inline(always)]
    fn last_beat(&self) -> u64 {
        // SAFETY: see above; array cells live as long as the map.
        HEARTBEAT.get_ptr(0).map_or(0, |beat| unsafe { beat.read_volatile() })
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn seed(&self) -> Seed {
        Seed(SEED.load())
    }
}
