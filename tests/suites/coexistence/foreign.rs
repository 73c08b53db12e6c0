//! Somebody else's `sk_lookup` program, as tubular has one: it gives the connections of one port, at every address or at
//! one, to a listener that is bound elsewhere. Made of the kernel's bare instructions, so that it has nothing in common
//! with umbra's own.

#![allow(unsafe_code, reason = "the bpf system call: aya takes programs out of object files only")]

use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use nix::libc;
use support::Netns;

/// In force until it is dropped.
pub(crate) struct Foreign {
    _link: OwnedFd,
    _sockets: OwnedFd,
}

impl Foreign {
    /// Gives what arrives at this port (of one address, unless that is unspecified) to the listener.
    pub(crate) fn steering(netns: &Netns, from: SocketAddr, to: &TcpListener) -> Self {
        let sockets = bpf(0, &mut MapCreate { kind: SOCKMAP, key: 4, value: 8, entries: 1 });
        let (key, value) = (0_u32, u64::try_from(to.as_raw_fd()).unwrap());
        let (key, value) = ((&raw const key) as u64, (&raw const value) as u64);
        bpf_done(2, &mut MapUpdate { map: sockets.as_raw_fd(), padding: 0, key, value, flags: 0 });

        let instructions = program(from, sockets.as_raw_fd());
        let program = bpf(
            5,
            &mut ProgLoad {
                kind: PROG_SK_LOOKUP,
                count: u32::try_from(instructions.len()).unwrap(),
                instructions: instructions.as_ptr() as u64,
                license: c"GPL".as_ptr() as u64,
                attach_type: ATTACH_SK_LOOKUP,
                ..ProgLoad::default()
            },
        );
        let place = File::open(netns.path()).unwrap();
        let link = bpf(
            28,
            &mut LinkCreate {
                program: program.as_raw_fd(),
                target: place.as_raw_fd(),
                attach_type: ATTACH_SK_LOOKUP,
                flags: 0,
            },
        );
        Self { _link: link, _sockets: sockets }
    }
}

const SOCKMAP: u32 = 15;
const PROG_SK_LOOKUP: u32 = 30;
const ATTACH_SK_LOOKUP: u32 = 36;

/// Of `struct bpf_sk_lookup`: an IPv4 address in network order, a port in that of the host.
const LOCAL_IP4: i16 = 40;
const LOCAL_PORT: i16 = 60;

fn program(from: SocketAddr, sockets: RawFd) -> Vec<u64> {
    let (after_port, after_address, after_lookup) = (16, 14, 7);
    let address = match from.ip() {
        IpAddr::V4(v4) if v4 != Ipv4Addr::UNSPECIFIED => Some(i32::from_ne_bytes(v4.octets())),
        _ => None,
    };
    let op = |code: u8, to: u8, of: u8, offset: i16, value: i32| {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = value.to_le_bytes();
        u64::from_le_bytes([code, to | of << 4, low, high, a, b, c, d])
    };
    let (load, differs, is) = (0x61, 0x56, 0x15);
    let (copy, set, add, call) = (0xbf, 0xb7, 0x07, 0x85);
    vec![
        op(copy, 6, 1, 0, 0),
        op(load, 2, 6, LOCAL_PORT, 0),
        op(differs, 2, 0, after_port, from.port().into()),
        op(load, 2, 6, LOCAL_IP4, 0),
        // Every address: a jump that leads to the next instruction.
        op(differs, 2, 0, address.map_or(0, |_| after_address), address.unwrap_or(0)),
        // The socket at key 0.
        op(0x62, 10, 0, -4, 0),
        op(0x18, 1, 1, 0, sockets),
        0,
        op(copy, 2, 10, 0, 0),
        op(add, 2, 0, 0, -4),
        op(call, 0, 0, 0, 1),
        op(is, 0, 0, after_lookup, 0),
        op(copy, 7, 0, 0, 0),
        // bpf_sk_assign(context, socket, 0), whatever it says; bpf_sk_release(socket).
        op(copy, 1, 6, 0, 0),
        op(copy, 2, 7, 0, 0),
        op(set, 3, 0, 0, 0),
        op(call, 0, 0, 0, 124),
        op(copy, 1, 7, 0, 0),
        op(call, 0, 0, 0, 86),
        // SK_PASS
        op(set, 0, 0, 0, 1),
        op(0x95, 0, 0, 0, 0),
    ]
}

#[repr(C)]
struct MapCreate {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
}

#[repr(C)]
struct MapUpdate {
    map: RawFd,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    program: RawFd,
    target: RawFd,
    attach_type: u32,
    flags: u32,
}

fn bpf_done<T>(command: libc::c_int, attributes: &mut T) -> libc::c_long {
    // SAFETY: the attributes are a part of `union bpf_attr` and their size is passed; what they point to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    assert!(result >= 0, "bpf command {command}: {}", io::Error::last_os_error());
    result
}

/// A command that makes something.
fn bpf<T>(command: libc::c_int, attributes: &mut T) -> OwnedFd {
    let made = bpf_done(command, attributes);
    // SAFETY: the kernel has just opened it for us.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(made).unwrap()) }
}
