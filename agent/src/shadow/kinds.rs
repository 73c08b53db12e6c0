//! What makes two requests of one kind, for `sampling.coverage`: the method and the shape of the path. The shape is its
//! first eight segments, where those that look like an identifier (a digit in them, or longer than 32 bytes) are alike.
//! The query does not count, nor does the status: it is known only after the copy was made.

use super::hash;
use crate::message::RequestHead;

const SEGMENTS: usize = 8;
const LONGEST_WORD: usize = 32;

pub(super) fn kind_of(head: &RequestHead<'_>) -> u64 {
    let path = head.path_and_query();
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let kind = hash::extend(hash::OFFSET, head.method.as_bytes());
    let kind = path.split('/').skip(1).take(SEGMENTS).fold(kind, |kind, segment| {
        let varies = segment.len() > LONGEST_WORD || segment.bytes().any(|byte| byte.is_ascii_digit());
        let shape = if varies { b"*".as_slice() } else { segment.as_bytes() };
        hash::extend(hash::extend(kind, b"/"), shape)
    });
    hash::mix(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BodyLength, Version};

    fn kind(method: &str, target: &str) -> u64 {
        let (version, body) = (Version::Http11, BodyLength::None);
        kind_of(&RequestHead { method, target, version, headers: &[], body, encrypted: false })
    }

    #[test]
    fn identifiers_are_alike_and_words_are_not() {
        let order = kind("GET", "/orders/17/items");
        assert_eq!(order, kind("GET", "/orders/9f3c2a/items?page=2"));
        assert_eq!(order, kind("GET", "http://shop/orders/18/items"));
        for other in ["/orders/new/items", "/orders/17", "/orders/17/", "/orders/17/items/3"] {
            assert_ne!(order, kind("GET", other), "{other}");
        }
        assert_ne!(order, kind("POST", "/orders/17/items"));
        assert_eq!(kind("GET", "/a/b/c/d/e/f/g/h/x"), kind("GET", "/a/b/c/d/e/f/g/h/y"));
    }
}
