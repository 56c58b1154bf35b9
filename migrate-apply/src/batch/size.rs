//! How many keys a range has: as many as can be done in the target time.

use std::time::Duration;

/// Where the file does not say.
pub(crate) const FIRST: u64 = 1000;
/// Row locks are held for about as long, and others may have to wait for that.
const TARGET: Duration = Duration::from_millis(500);
const SMALLEST: u64 = 10;
const LARGEST: u64 = 1_000_000;

/// The size after a range of `size` keys that `took` so long. It at most doubles or halves: one
/// slow checkpoint or one range without rows to change says little of the next.
pub(crate) fn after(size: u64, took: Duration) -> u64 {
    let factor = TARGET.as_secs_f64() / took.as_secs_f64().max(0.001);
    bounded((size as f64 * factor.clamp(0.5, 2.0)) as u64, size)
}

/// The size after others had to wait for a range, or it for them.
pub(crate) fn smaller(size: u64) -> u64 {
    bounded(size / 2, size)
}

/// A file may ask for less than the smallest size.
fn bounded(next: u64, size: u64) -> u64 {
    next.clamp(SMALLEST.min(size), LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_time_that_a_range_took() {
        for (size, ms, expected) in [
            (1000, 500, 1000),
            (1000, 400, 1250),
            (1000, 1, 2000),
            (1000, 0, 2000),
            (1000, 625, 800),
            (1000, 60_000, 500),
            (15, 60_000, 10),
            (3, 60_000, 3),
            (900_000, 1, 1_000_000),
            (1, 1, 2),
        ] {
            assert_eq!(after(size, Duration::from_millis(ms)), expected, "{size} in {ms} ms");
        }
        assert_eq!((smaller(1000), smaller(12), smaller(1)), (500, 10, 1));
    }
}
