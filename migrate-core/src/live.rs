//! A line on a terminal that changes while work goes on.

use std::{
    env,
    io::{IsTerminal, Write},
};

use rustix::termios::tcgetwinsize;

/// Whether a line can be written over.
pub fn is_possible() -> bool {
    std::io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|it| it != "dumb")
}

/// Puts `text` in the place of the line, as far as it fits; an empty one removes it.
pub fn show(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // One less than there is: at the edge a terminal would write over its last column.
    let width = tcgetwinsize(&stderr).ok().map_or(80, |it| usize::from(it.ws_col)).max(2) - 1;
    // Back to the start, clear to the end.
    let _ = write!(stderr, "\r\x1b[K{}", fitted(text, width));
    let _ = stderr.flush();
}

/// A bar, full where it takes longer than expected; or dots where nobody knows.
pub fn bar(part: Option<f64>) -> String {
    const WIDTH: usize = 20;
    let Some(part) = part else { return "…".to_owned() };
    let full = ((part * WIDTH as f64) as usize).min(WIDTH);
    format!("[{}{}]", "█".repeat(full), "·".repeat(WIDTH - full))
}

fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width - 1).collect();
    start + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done_and_never_fuller() {
        assert_eq!(bar(Some(0.0)), "[····················]");
        assert_eq!(bar(Some(0.52)), "[██████████··········]");
        assert_eq!(bar(Some(7.0)), "[████████████████████]");
        assert_eq!(bar(None), "…");
    }

    #[test]
    fn a_line_that_is_too_long_for_the_terminal_ends_in_dots() {
        assert_eq!(fitted("abcdef", 6), "abcdef");
        assert_eq!(fitted("abcdefg", 6), "abcde…");
        assert_eq!(fitted("ab", 1), "…");
    }
}
