//! How durations, sizes and names look.

use super::*;

#[test]
fn durations_and_sizes_are_short() {
    for (ms, text) in [
        (0, "<1 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (1_500, "1.5 s"),
        (59_999, "59.9 s"),
        (60_000, "1 min"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (3_660_000, "1 h 1 min"),
    ] {
        assert_eq!(took(ms), text);
    }
    assert_eq!(bytes(1023), "1023 bytes");
    assert_eq!(bytes(195 * 1024 * 1024), "195.0 MB");
}

#[test]
fn a_hostile_name_cannot_steer_the_terminal() {
    assert_eq!(escape("a\u{1b}[2Jb\u{202e}\n"), "a\\u{1b}[2Jb\\u{202e}\\n");
}
