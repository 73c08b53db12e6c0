//! Addresses and endpoints as the maps keep them: one form for both families.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IP address as sixteen bytes; IPv4 is mapped (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2), so that one map
/// serves both families.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// As a captured endpoint's address: every address of the namespace.
    pub const ANY: Self = Self([0; 16]);

    #[inline(always)]
    pub const fn v4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self::v4(address.octets())
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        Self(address.octets())
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

/// An address and a TCP port: a map key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub address: Address,
    /// Network order.
    pub port: [u8; 2],
}

const _: () = assert!(size_of::<Endpoint>() == 18 && align_of::<Endpoint>() == 1);

impl Endpoint {
    #[inline(always)]
    pub const fn new(address: Address, port: u16) -> Self {
        Self { address, port: port.to_be_bytes() }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip().into(), address.port())
    }
}

// SAFETY: bytes only: no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
#[allow(unsafe_code, reason = "aya moves these through maps as bytes")]
unsafe impl aya::Pod for Endpoint {}
