//! The checksum of a text, the same however an editor or git wrote its line ends.

use sha2::{Digest, Sha256};

/// `sha256:` and hex, with line ends as LF. The text is without its BOM already and isn't copied.
pub(crate) fn checksum(text: &str) -> String {
    let mut hasher = Sha256::new();
    let mut rest = text;
    // Most texts have no CR at all, which is found out much faster than where a CRLF stands.
    let mut next = if text.as_bytes().contains(&b'\r') { text.find("\r\n") } else { None };
    while let Some(at) = next {
        hasher.update(&rest[..at]);
        hasher.update("\n");
        rest = &rest[at + 2..];
        next = rest.find("\r\n");
    }
    hasher.update(rest);
    let mut shown = String::with_capacity(71);
    shown.push_str("sha256:");
    for byte in hasher.finalize() {
        for digit in [byte >> 4, byte & 15] {
            shown.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_what_sha256sum_says_of_the_text_with_lf() {
        let expected = "sha256:d78931fcf2660108eec0d6674ecb4e02401b5256a6b5ee82527766ef6d198c67";
        assert_eq!(checksum("foo\nbar\n"), expected);
        assert_eq!(checksum("foo\r\nbar\r\n"), checksum("foo\nbar\n"));
        assert_ne!(checksum("foo\rbar"), checksum("foo\nbar"));
    }
}
