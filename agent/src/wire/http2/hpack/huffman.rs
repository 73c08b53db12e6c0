//! HPACK's Huffman code (RFC 7541 §5.2 and Appendix B). The code is canonical (symbols of one length have consecutive
//! codes, in their order), so the lengths alone say what it is.

/// The end of a string, which must not appear within one.
const EOS: u16 = 256;
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// The length of each symbol's code, EOS last.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6,
    6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5,
    6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24,
    23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26,
    26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21,
    26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26,
    26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

struct Code {
    /// In the order of their codes.
    symbols: [u16; 257],
    /// By length: the first code that is longer, followed by zeros to 32 bits.
    beyond: [u64; LONGEST + 1],
    /// By length: the place of its first symbol, and that symbol's code.
    first: [(usize, usize); LONGEST + 1],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut code = Code { symbols: [0; 257], beyond: [0; LONGEST + 1], first: [(0, 0); LONGEST + 1] };
    let (mut place, mut next, mut length) = (0, 0, 1);
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = (place, next);
        let mut symbol = 0;
        while symbol <= EOS {
            if LENGTHS[symbol as usize] as usize == length {
                code.symbols[place] = symbol;
                place += 1;
                next += 1;
            }
            symbol += 1;
        }
        code.beyond[length] = (next as u64) << (32 - length);
        length += 1;
    }
    code
}

/// Appends what `text` stands for. None when it holds EOS, or ends in anything but the first bits of EOS, fewer than
/// eight.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text.iter();
    // The next bits of the text, from the highest on, and how many they are.
    let (mut bits, mut count) = (0_u64, 0);
    loop {
        while count <= 56
            && let Some(byte) = rest.next()
        {
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let window = bits >> 32;
        let mut length = SHORTEST;
        // Ends: no window reaches what lies beyond the longest codes.
        while window >= CODE.beyond[length] {
            length += 1;
        }
        if length > count {
            let ones = !(u64::MAX >> count);
            return (count < 8 && bits == ones).then_some(());
        }
        let (place, first) = CODE.first[length];
        let prefix = usize::try_from(window >> (32 - length)).ok()?;
        let symbol = CODE.symbols[place + prefix - first];
        // Only EOS is no byte.
        out.push(u8::try_from(symbol).ok()?);
        bits <<= length;
        count -= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(text, &mut out).map(|()| out)
    }

    #[test]
    fn the_code_is_complete() {
        assert_eq!(CODE.beyond[LONGEST], 1 << 32);
        assert_eq!(CODE.symbols[256], EOS);
    }

    #[test]
    fn padding_is_the_beginning_of_eos_and_less_than_a_byte() {
        assert_eq!(decoded(b"").unwrap(), b"");
        // 'a' is 00011, '0' is 00000.
        assert_eq!(decoded(&[0b0001_1111]).unwrap(), b"a");
        assert_eq!(decoded(&[0b0001_1110]), None);
        assert_eq!(decoded(&[0b0001_1111, 0xff]), None);
        assert_eq!(decoded(&[0xff]), None);
        // '&' has eight bits and needs no padding.
        assert_eq!(decoded(&[0xf8]).unwrap(), b"&");
        // Thirty ones are EOS.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(decoded(&[0b0001_1111, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
