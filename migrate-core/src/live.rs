//! A line on a terminal that changes while work goes on.

use std::io::Write;

/// Puts `text` in the place of the line; an empty one removes it.
pub fn show(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Back to the start, clear to the end; without wrapping, or a narrow terminal would scroll.
    let _ = write!(stderr, "\r\x1b[K\x1b[?7l{text}\x1b[?7h");
    let _ = stderr.flush();
}

/// A bar, full where it takes longer than estimated; or dots where nobody knows.
pub fn bar(part: Option<f64>) -> String {
    const WIDTH: usize = 20;
    let Some(part) = part else { return "…".to_owned() };
    let full = ((part * WIDTH as f64) as usize).min(WIDTH);
    format!("[{}{}]", "█".repeat(full), "·".repeat(WIDTH - full))
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
}
