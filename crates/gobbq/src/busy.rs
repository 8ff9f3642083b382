//! How busy this process is: what a node reports as its load.

use std::time::{Duration, Instant};

/// The kernel counts processor time in hundredths of a second (`getconf CLK_TCK` on every Linux of today).
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures processor time between two looks.
#[derive(Debug)]
pub(crate) struct Busy {
    last: Option<(Instant, u64)>,
    cores: f64,
}

impl Busy {
    pub(crate) fn new() -> Self {
        Self { last: None, cores: std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64) }
    }

    /// Share of all cores used since the last look, in thousandths; 0 where the system does not tell.
    pub(crate) fn permille(&mut self) -> u32 {
        let Some(ticks) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(ticks) else { return 0 };
        let now = Instant::now();
        let Some((before, last)) = self.last.replace((now, ticks)) else { return 0 };
        let passed = now.duration_since(before).max(Duration::from_millis(1)).as_secs_f64();
        let used = ticks.saturating_sub(last) as f64 / TICKS_PER_SECOND;
        (used / passed / self.cores * 1000.0).clamp(0.0, 1000.0) as u32
    }
}

/// User and system time of a process (proc(5), fields 14 and 15). The name in field 2 may hold anything but is in
/// parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
        let stat = "1 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 30 12 13 14";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("nothing"), None);
    }

    #[test]
    fn a_process_that_computes_is_busy() {
        let mut busy = Busy::new();
        busy.permille();
        let start = Instant::now();
        let mut sum = 0_u64;
        while start.elapsed() < Duration::from_millis(300) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        assert!((1..=1000).contains(&busy.permille()), "{sum}");
    }
}
