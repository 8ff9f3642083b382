//! The small languages inside options: durations (`3s`), rates (`300/m burst 20`) and method ids.

/// A rate limit: a token bucket of `burst`, refilled with `per_second`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// Sustained calls per second.
    pub per_second: f64,
    /// How many may come at once.
    pub burst: u32,
}

/// FNV-1a, 32 bits, as in section 6 of the wire specification.
#[must_use]
pub fn fnv1a_32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The id of a method without an `id` option, from `package.Service/Method`.
#[must_use]
pub fn method_id(path: &str) -> u32 {
    let id = fnv1a_32(path) & 0x0fff_ffff;
    if id < 1024 { id + 1024 } else { id }
}

/// `250ms`, `3s`, `10m`, `1h` or `7d`, in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Result<u32, String> {
    let problem = || format!("`{text}` is not a duration such as `250ms`, `3s`, `10m`, `1h` or `7d`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(problem)?;
    let count: u64 = text[..digits].parse().map_err(|_| problem())?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(problem()),
    };
    match count.checked_mul(unit).and_then(|ms| u32::try_from(ms).ok()) {
        Some(0) => Err(format!("`{text}` is no time at all")),
        Some(ms) => Ok(ms),
        None => Err(format!("`{text}` is more than 49 days")),
    }
}

/// `5/s`, `300/m`, `20/h burst 3`. Without `burst`, a second's worth may come at once.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let problem = || format!("`{text}` is not a rate such as `5/s`, `300/m` or `300/m burst 20`");
    let (count, rest) = text.split_once('/').ok_or_else(problem)?;
    let count: u32 = count.trim().parse().map_err(|_| problem())?;
    let mut words = rest.split_whitespace();
    let seconds = match words.next() {
        Some("s") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => return Err(problem()),
    };
    let per_second = f64::from(count) / seconds;
    let burst = match (words.next(), words.next(), words.next()) {
        (None, ..) => per_second.ceil() as u32,
        (Some("burst"), Some(burst), None) => burst.parse().map_err(|_| problem())?,
        _ => return Err(problem()),
    };
    if count == 0 || burst == 0 {
        return Err(format!("`{text}` allows no call at all"));
    }
    Ok(Rate { per_second, burst })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        assert_eq!(fnv1a_32(""), 0x811c_9dc5);
        assert_eq!(fnv1a_32("foobar"), 0xbf9c_f968);
        assert!((1024..1 << 28).contains(&method_id("chat.Room/Say")));
    }

    #[test]
    fn durations_have_one_number_and_one_unit() {
        assert_eq!(duration_ms("250ms"), Ok(250));
        assert_eq!(duration_ms("3s"), Ok(3000));
        assert_eq!(duration_ms("10m"), Ok(600_000));
        assert_eq!(duration_ms("1h"), Ok(3_600_000));
        assert_eq!(duration_ms("7d"), Ok(604_800_000));
        for bad in ["", "3", "s", "3 s", "-3s", "1.5s", "1m30s", "3S", "0s", "50d", "99999999999999999999s", "3µs"] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_have_a_burst_of_a_second_unless_they_name_one() {
        assert_eq!(rate("5/s"), Ok(Rate { per_second: 5.0, burst: 5 }));
        assert_eq!(rate("300/m"), Ok(Rate { per_second: 5.0, burst: 5 }));
        assert_eq!(rate("90/m"), Ok(Rate { per_second: 1.5, burst: 2 }));
        assert_eq!(rate("300/m burst 20"), Ok(Rate { per_second: 5.0, burst: 20 }));
        assert_eq!(rate("1/h").map(|rate| rate.burst), Ok(1));
        for bad in
            ["", "5", "/s", "5/", "5/d", "5/s burst", "5/s burst x", "5/s burst 3 4", "0/s", "5/s burst 0", "-1/s"]
        {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
