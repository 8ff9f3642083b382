//! Cron expressions: `minute hour day-of-month month day-of-week`, in UTC, as in crontab(5).
//!
//! Numbers, `*`, lists `1,15`, ranges `9-17`, steps `*/5` and `10-30/5`; Sunday is 0 or 7. When both day fields are
//! restricted, a day that matches either of them matches.

use bbq_wire::Time;

const MINUTE: u64 = 60_000_000_000;
/// How far ahead a match is looked for: past every leap year rule.
const HORIZON_DAYS: i64 = 366 * 9;

/// A parsed expression: one bit for each allowed value of each field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

impl Cron {
    /// Parses an expression.
    ///
    /// # Errors
    /// Says which field is wrong and why.
    pub fn parse(expression: &str) -> Result<Self, String> {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "a cron expression has five fields (minute hour day month weekday), not {}",
                fields.len()
            ));
        };
        let weekdays = field("weekday", weekday, 0, 7)?;
        Ok(Self {
            minutes: field("minute", minute, 0, 59)?,
            hours: field("hour", hour, 0, 23)?,
            days: field("day", day, 1, 31)?,
            months: field("month", month, 1, 12)?,
            weekdays: weekdays | weekdays >> 7 & 1,
            any_day: day == "*",
            any_weekday: weekday == "*",
        })
    }

    /// The first matching minute after `now`; `unix_offset` is the Unix time of [`Time::ZERO`] in nanoseconds.
    /// `None` when there is none within nine years (30 February).
    #[must_use]
    pub fn next_after(&self, now: Time, unix_offset: u64) -> Option<Time> {
        let first = (now.0 + unix_offset) / MINUTE + 1;
        let (first_day, mut minute) = ((first / 1440) as i64, first % 1440);
        for day in first_day..first_day + HORIZON_DAYS {
            if self.matches_day(day) {
                while minute < 1440 {
                    if self.hours >> (minute / 60) & 1 == 0 {
                        minute = (minute / 60 + 1) * 60;
                    } else if self.minutes >> (minute % 60) & 1 == 0 {
                        minute += 1;
                    } else {
                        return Some(Time((day as u64 * 1440 + minute) * MINUTE - unix_offset));
                    }
                }
            }
            minute = 0;
        }
        None
    }

    fn matches_day(&self, day: i64) -> bool {
        let (month, day_of_month) = civil(day);
        let by_day = self.days >> day_of_month & 1 == 1;
        let by_weekday = self.weekdays >> (day + 4).rem_euclid(7) & 1 == 1;
        let day_matches = match (self.any_day, self.any_weekday) {
            (false, false) => by_day || by_weekday,
            _ => by_day && by_weekday,
        };
        self.months >> month & 1 == 1 && day_matches
    }
}

fn field(name: &str, text: &str, low: u32, high: u32) -> Result<u64, String> {
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let number = |text: &str| {
            let value = text.parse::<u32>().ok().filter(|value| (low..=high).contains(value));
            value.ok_or_else(|| format!("{name}: `{text}` is not a number from {low} to {high}"))
        };
        let step = step.parse::<usize>().ok().filter(|&step| step > 0);
        let step = step.ok_or_else(|| format!("{name}: the step in `{part}` is not a positive number"))?;
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(range)?, if part.contains('/') { high } else { number(range)? }),
        };
        if from > to {
            return Err(format!("{name}: the range `{range}` runs backwards"));
        }
        (from..=to).step_by(step).for_each(|value| bits |= 1 << value);
    }
    Ok(bits)
}

/// Month (1..=12) and day of month of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(day: i64) -> (u32, u32) {
    let shifted = day + 719_468;
    let day_of_era = shifted.rem_euclid(146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (month as u32, day_of_month as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, unix: u64) -> Option<u64> {
        let cron = Cron::parse(expression).expect("valid");
        cron.next_after(Time::ZERO, unix * 1_000_000_000).map(|time| time.0 / 1_000_000_000 + unix)
    }

    #[test]
    fn it_finds_the_next_matching_minute() {
        // 2026-11-24 00:00:00 UTC, a Tuesday.
        let midnight = 1_795_478_400;
        assert_eq!(next("* * * * *", midnight), Some(midnight + 60));
        assert_eq!(next("*/5 * * * *", midnight + 61), Some(midnight + 300));
        assert_eq!(next("30 4 * * *", midnight), Some(midnight + 4 * 3600 + 1800));
        assert_eq!(next("0 0 * * 0", midnight), Some(midnight + 5 * 86_400), "Sunday");
        assert_eq!(next("0 0 * * 7", midnight), next("0 0 * * 0", midnight));
        assert_eq!(next("0 0 1 1 *", midnight), Some(1_798_761_600), "New Year 2027");
        assert_eq!(next("0 0 29 2 *", midnight), Some(1_835_395_200), "29 February 2028");
        assert_eq!(next("0 0 30 2 *", midnight), None);
    }

    #[test]
    fn mistakes_are_named() {
        for (expression, word) in [
            ("* * * *", "five"),
            ("60 * * * *", "minute"),
            ("* 9-5 * * *", "backwards"),
            ("*/0 * * * *", "step"),
            ("a * * * *", "`a`"),
        ] {
            let error = Cron::parse(expression).expect_err(expression);
            assert!(error.contains(word), "{error}");
        }
    }
}
