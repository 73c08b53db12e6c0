//! RFC 7541's own examples (Appendix C), and what a decoder must refuse.

use super::*;
use crate::wire::Skipped;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Unread> {
    let mut fields = Fields::for_block(block.len());
    decoder.decode(block, DEFAULT_TABLE, &mut fields).map(|()| fields)
}

fn lines(fields: &Fields) -> String {
    let line = |(name, value): (&[u8], &[u8])| format!("{}: {}\n", name.escape_ascii(), value.escape_ascii());
    fields.iter().map(line).collect()
}

/// Decodes each block and compares its fields and the table's size after it.
fn check(decoder: &mut Decoder, blocks: &[(&str, &str, usize)]) {
    for (hex, expected, size) in blocks {
        assert_eq!(lines(&decode(decoder, &bytes(hex)).unwrap()), *expected);
        assert_eq!(decoder.table.size(), *size, "after {expected}");
    }
}

fn refused(hex: &str) -> Unread {
    decode(&mut Decoder::default(), &bytes(hex)).expect_err(hex)
}

const FIRST: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
const SECOND: &str =
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n";
const THIRD: &str = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n\
                     custom-key: custom-value\n";

const FOUND: &str = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
                     location: https://www.example.com\n";
const FOUND_ELSEWHERE: &str = ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
                               location: https://www.example.com\n";
const OK: &str = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
                  location: https://www.example.com\ncontent-encoding: gzip\n\
                  set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n";

#[test]
fn single_fields_of_appendix_c2() {
    let key = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(&mut Decoder::default(), &[(key, "custom-key: custom-header\n", 55)]);
    check(&mut Decoder::default(), &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", 0)]);
    let never = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    check(&mut Decoder::default(), &[(never, "password: secret\n", 0)]);
    check(&mut Decoder::default(), &[("82", ":method: GET\n", 0)]);
}

#[test]
fn requests_of_appendix_c3_and_c4() {
    check(
        &mut Decoder::default(),
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST, 57),
            ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND, 110),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD, 164),
        ],
    );
    check(
        &mut Decoder::default(),
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST, 57),
            ("8286 84be 5886 a8eb 1064 9cbf", SECOND, 110),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD, 164),
        ],
    );
}

#[test]
fn responses_of_appendix_c5_and_c6_evict() {
    let small = || {
        let mut decoder = Decoder::default();
        decoder.table.set_max(256);
        decoder
    };
    check(
        &mut small(),
        &[
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 \
             3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                FOUND,
                222,
            ),
            ("4803 3330 37c1 c0bf", FOUND_ELSEWHERE, 222),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a \
             6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d \
             6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                OK,
                215,
            ),
        ],
    );
    check(
        &mut small(),
        &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d \
             29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                FOUND,
                222,
            ),
            ("4883 640e ffc1 c0bf", FOUND_ELSEWHERE, 222),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d \
             d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 \
             3d50 07",
                OK,
                215,
            ),
        ],
    );
}

#[test]
fn what_does_not_decode_is_refused() {
    let table = [
        ("80", "index 0"),
        ("be", "an index beyond both tables"),
        ("7f8080808010", "a name beyond both tables"),
        ("ffffffffff7f", "an integer beyond 32 bits"),
        ("ff808080808000", "an integer of too many bytes"),
        ("ff", "an integer cut off"),
        ("400a6375", "a string cut off"),
        ("00", "a name that is missing"),
        ("000161", "a value that is missing"),
        ("00016181fe", "padding of zeros"),
        ("00016182ffff", "padding of more than seven bits"),
        ("00016184ffffffff", "EOS in a string"),
        ("8220", "a size update after a field"),
    ];
    for (hex, what) in table {
        assert_eq!(refused(hex), Unread::Hpack, "{what}");
    }
}

#[test]
fn a_table_is_no_larger_than_its_receiver_and_this_reader_allow() {
    // 4096 and 4097.
    assert!(decode(&mut Decoder::default(), &bytes("3fe11f")).is_ok());
    assert_eq!(refused("3fe21f"), Unread::HpackTable);
    let mut fields = Fields::default();
    let updated =
        |update: &str, fields: &mut Fields| Decoder::default().decode(&bytes(update), usize::MAX, fields);
    // 65536 and 65537.
    assert_eq!(updated("3fe1ff03", &mut fields), Ok(()));
    assert_eq!(updated("3fe2ff03", &mut fields), Err(Unread::HpackTableTooLarge));
    // Several updates in one block, as after several limits.
    assert!(decode(&mut Decoder::default(), &bytes("20 3fe11f 82")).is_ok());
}

/// RFC 7541 §4.2.
#[test]
fn a_lower_limit_must_be_followed_before_it_matters() {
    let insert = bytes("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572");
    let decode = |decoder: &mut Decoder, block: &[u8]| decode(decoder, block).map(|fields| lines(&fields));

    // Nothing in the table, nothing put in: no reader could tell the difference.
    let mut decoder = Decoder::default();
    decoder.limit(0);
    assert!(decode(&mut decoder, &bytes("82")).is_ok());
    assert_eq!(decode(&mut decoder, &insert), Err(Unread::HpackTable));

    // An entry that fits the lower limit too.
    let mut decoder = Decoder::default();
    decoder.limit(55);
    assert!(decode(&mut decoder, &insert).is_ok());
    assert_eq!(decode(&mut decoder, &insert), Err(Unread::HpackTable));

    // The limit comes when the table is fuller than that.
    let mut decoder = Decoder::default();
    decode(&mut decoder, &insert).unwrap();
    decoder.limit(54);
    assert_eq!(decode(&mut decoder, &bytes("be")), Err(Unread::HpackTable));

    // It was followed, and the entry is gone; or followed on the way to a higher one.
    for update in ["20", "20 3fe11f"] {
        let mut decoder = Decoder::default();
        decode(&mut decoder, &insert).unwrap();
        decoder.limit(0);
        decoder.limit(4096);
        assert_eq!(decode(&mut decoder, &bytes(&format!("{update} be"))), Err(Unread::Hpack));
    }
    // The higher one alone hides the lower one.
    let mut decoder = Decoder::default();
    decode(&mut decoder, &insert).unwrap();
    decoder.limit(0);
    decoder.limit(4096);
    assert_eq!(decode(&mut decoder, &bytes("3fe11f be")), Err(Unread::HpackTable));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let mut decoder = Decoder::default();
    // One entry that fills the table, then sixty thousand references to it: 245 MB of fields.
    let mut block = vec![0x40, 1, b'a', 0x7f, 0xc0, 0x1e];
    block.extend([b'x'; 4031]);
    block.extend([0xbe; 60_000]);
    let fields = decode(&mut decoder, &block).unwrap();
    assert_eq!(fields.over(), Some(Skipped::HeadTooLong));
    assert!(fields.text.capacity() <= 2 * HEAD_MAX, "{}", fields.text.capacity());
    // The table is in step: the next block can still refer to it.
    assert_eq!(decode(&mut decoder, &[0xbe]).unwrap().len(), 1);

    let fields = decode(&mut decoder, &[0x82; 60_000]).unwrap();
    assert_eq!((fields.over(), fields.len()), (Some(Skipped::TooManyHeaders), fields::HEADERS_MAX));
}
