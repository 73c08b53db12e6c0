//! TLS is not read, but for the name of the server the client wants.

use std::sync::Arc;

use fastrand::Rng;
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName};

use super::{splits::cut, *};
use crate::wire::Protocol;

/// The first words of a real client.
fn hello(server: &'static str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(server).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// The same handshake message in records of at most this length.
fn in_records(hello: &[u8], length: usize) -> Vec<u8> {
    let record = |piece: &[u8]| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1], &length[..], piece].concat()
    };
    hello[5..].chunks(length).flat_map(record).collect()
}

fn after(steps: &[Step]) -> (Option<String>, Vec<Event>) {
    let (mut reader, mut sink) = (Reader::new(), Recorder::default());
    steps.iter().for_each(|step| step.tell(&mut reader, &mut sink));
    assert_eq!(reader.protocol(), Some(Protocol::Tls));
    (reader.server_name().map(str::to_owned), sink.events)
}

#[test]
fn the_server_that_a_client_of_tls_wants_is_known_however_its_words_are_cut() {
    let told = (Some("shop.example.com".to_owned()), vec![Event::Unread(Unread::Tls)]);
    let hello = hello("shop.example.com");
    let mut rng = Rng::with_seed(3);
    for sent in [hello.clone(), in_records(&hello, 50), in_records(&hello, 1)] {
        let steps = [client(sent), server(b"\x16\x03\x03"), client("more")];
        assert_eq!(after(&steps), told);
        for _ in 0..20 {
            assert_eq!(after(&cut(&steps, &mut rng)), told);
        }
    }
}

#[test]
fn what_cannot_be_read_of_tls_is_unknown_and_ends_the_reading() {
    let unknown = (None, vec![Event::Unread(Unread::Tls)]);
    let hello = hello("10.0.0.1");
    let endless = [b"\x16\x03\x01\x40\x00\x01\x00\xff\xff".to_vec(), vec![0; 70_000]].concat();
    let table = [
        vec![client(&hello)],
        vec![client(b"\x16\x03\x01\x00\x05hello")],
        vec![client(endless)],
        vec![client(&hello[..40]), server(b"\x15\x03\x01\x00\x02\x02\x28")],
        vec![client(&hello[..40]), Step::ClientEof],
        vec![client(&hello[..3]), Step::ServerEof],
    ];
    for steps in table {
        assert_eq!(after(&steps), unknown, "{steps:?}");
    }
}
