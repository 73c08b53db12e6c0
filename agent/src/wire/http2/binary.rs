//! gRPC's binary metadata. Between two peers that both say so in their SETTINGS, gRPC's core (C++, Python, Ruby, PHP) sends
//! the value of a `-bin` field as a NUL and the bytes themselves, which no field of HTTP may hold. Everywhere else the same
//! value is sent in base64 without padding, and so it is told of here: a copy goes to a peer that has said nothing yet.
//! See `GRPC_CHTTP2_SETTINGS` in gRPC's core, and "Binary-Header" in gRPC over HTTP/2.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use super::hpack::Fields;

/// The setting by which a peer says that it takes such values, when it is 1.
pub(super) const ALLOWED: u16 = 0xfe03;

/// Writes binary values as any other peer would send them.
pub(super) fn spelt_out(fields: Fields) -> Fields {
    if !fields.iter().any(|(name, value)| is_binary(name, value)) {
        return fields;
    }
    let mut spelt = fields.none_of_it();
    for (name, value) in fields.iter() {
        if is_binary(name, value) {
            spelt.push(name, STANDARD_NO_PAD.encode(&value[1..]).as_bytes());
        } else {
            spelt.push(name, value);
        }
    }
    spelt
}

fn is_binary(name: &[u8], value: &[u8]) -> bool {
    value.first() == Some(&0) && name.ends_with(b"-bin")
}
