//! The hours of a week in which a window is open, minute by minute: 10,080 answers worked out once, when the policy is made.

const MINUTE_MS: i64 = 60_000;
const DAY: usize = 24 * 60;
const WEEK: usize = 7 * DAY;
/// 1970 began on a Thursday.
const EPOCH_DAY: usize = 3;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A week's open minutes, from Monday, local time.
#[derive(Debug, Clone)]
pub struct Week {
    open: Vec<bool>,
    offset_ms: i64,
}

impl Week {
    /// From windows as an operator writes them.
    ///
    /// # Errors
    /// Which of them is wrong, and what one looks like.
    pub fn new(windows: &[String], utc_offset: &str) -> Result<Week, String> {
        let offset_ms = offset_ms(utc_offset).ok_or_else(|| {
            format!("utc_offset = {utc_offset:?} is not an offset like \"+02:00\" or \"-09:30\"")
        })?;
        if windows.is_empty() {
            return Err(
                "`windows` is empty: jobs would only ever run late; name one, \"22:00-06:00\" say"
                    .into(),
            );
        }
        let mut open = vec![false; WEEK];
        for window in windows {
            let (days, from, to) = parse(window).ok_or_else(|| {
                format!(
                    "the window {window:?} is not of the form \"22:00-06:00\" or \"sat-sun 00:00-24:00\""
                )
            })?;
            let minutes = if to > from {
                to - from
            } else {
                to + DAY - from
            };
            for day in days {
                for minute in 0..minutes {
                    open[(day * DAY + from + minute) % WEEK] = true;
                }
            }
        }
        Ok(Week { open, offset_ms })
    }

    /// When a window is next open: now, or the start of the first minute of the next one.
    pub fn opens_ms(&self, now_ms: i64) -> i64 {
        let minute = self.local_minute(now_ms);
        let wait = (0..WEEK).find(|ahead| self.open[(minute + ahead) % WEEK]);
        match wait {
            None | Some(0) => now_ms,
            Some(ahead) => now_ms - now_ms.rem_euclid(MINUTE_MS) + ahead as i64 * MINUTE_MS,
        }
    }

    /// The local time of day, as the number 2230 for 22:30.
    pub fn clock(&self, at_ms: i64) -> i64 {
        let minute = self.local_minute(at_ms) % DAY;
        (minute / 60 * 100 + minute % 60) as i64
    }

    fn local_minute(&self, at_ms: i64) -> usize {
        let minutes = at_ms
            .saturating_add(self.offset_ms)
            .div_euclid(MINUTE_MS)
            .rem_euclid(WEEK as i64) as usize;
        (minutes + EPOCH_DAY * DAY) % WEEK
    }
}

/// `+02:00`, less than a day.
fn offset_ms(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let minutes = time(rest).filter(|minutes| *minutes < DAY)?;
    Some(sign * minutes as i64 * MINUTE_MS)
}

/// `mon-fri 20:00-07:00`: the days it begins on, and the minutes of the day.
fn parse(window: &str) -> Option<(Vec<usize>, usize, usize)> {
    let (days, hours) = match window.trim().split_once(' ') {
        Some((days, hours)) => (day_range(days)?, hours.trim()),
        None => ((0..7).collect(), window.trim()),
    };
    let (from, to) = hours.split_once('-')?;
    let (from, to) = (time(from)?, time(to)?);
    (from != to && from < DAY && to > 0 || (from, to) == (0, DAY)).then_some((days, from, to))
}

/// `sat`, or `mon-fri`, or `fri-mon` over the week's end.
fn day_range(text: &str) -> Option<Vec<usize>> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let Some((first, last)) = text.split_once('-') else {
        return Some(vec![day(text)?]);
    };
    let (first, last) = (day(first)?, day(last)?);
    Some(
        (0..7)
            .map(|n| (first + n) % 7)
            .take((last + 7 - first) % 7 + 1)
            .collect(),
    )
}

/// `22:30`, up to `24:00`, in minutes.
fn time(text: &str) -> Option<usize> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<usize>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod tests {
    use super::*;

    /// Wednesday, 15 January 2025, 00:00 UTC.
    const WEDNESDAY: i64 = 1_736_899_200_000;
    const HOUR: i64 = 60 * MINUTE_MS;

    fn week(windows: &[&str], offset: &str) -> Week {
        let windows: Vec<String> = windows.iter().map(ToString::to_string).collect();
        Week::new(&windows, offset).unwrap()
    }

    #[test]
    fn a_window_over_midnight_is_open_on_both_sides_of_it() {
        let week = week(&["22:00-06:00"], "+00:00");
        for (hour, opens) in [(0, 0), (5, 5), (6, 22), (21, 22), (22, 22), (23, 23)] {
            let now = WEDNESDAY + hour * HOUR + 1;
            let expected = if opens == hour {
                now
            } else {
                WEDNESDAY + opens * HOUR
            };
            assert_eq!(week.opens_ms(now), expected, "at {hour}");
        }
    }

    #[test]
    fn days_are_those_of_local_time_and_weeks_wrap() {
        let week = week(&["sun 23:00-01:00"], "+02:00");
        // Sunday 23:00 at +02:00 is Sunday 21:00 UTC, four days after Wednesday.
        let opens = WEDNESDAY + 4 * 24 * HOUR + 21 * HOUR;
        assert_eq!(week.opens_ms(WEDNESDAY), opens);
        assert_eq!(week.clock(opens), 2300);
        // Open until Monday 01:00 local, then not for a week.
        assert_eq!(week.opens_ms(opens + 2 * HOUR - 1), opens + 2 * HOUR - 1);
        assert_eq!(week.opens_ms(opens + 2 * HOUR), opens + 7 * 24 * HOUR);
    }

    #[test]
    fn a_range_of_days_may_pass_the_end_of_the_week() {
        let week = week(&["sat-mon 00:00-24:00"], "+00:00");
        let saturday = WEDNESDAY + 3 * 24 * HOUR;
        assert_eq!(week.opens_ms(WEDNESDAY), saturday);
        assert_eq!(week.opens_ms(saturday + 71 * HOUR), saturday + 71 * HOUR);
        assert_eq!(week.opens_ms(saturday + 72 * HOUR), saturday + 168 * HOUR);
    }

    #[test]
    fn what_is_no_window_is_refused_with_an_example() {
        for wrong in [
            "",
            "22-06",
            "22:00",
            "25:00-06:00",
            "22:60-06:00",
            "mo 22:00-06:00",
            "22:00-22:00",
            "+1:00-02:00",
        ] {
            let error = Week::new(&[wrong.to_string()], "+00:00").unwrap_err();
            assert!(
                error.contains("22:00-06:00") && error.contains(wrong),
                "{error}"
            );
        }
        for wrong in ["", "2", "02:00", "+24:00", "+2:00", "z02:00"] {
            let error = Week::new(&["22:00-06:00".into()], wrong).unwrap_err();
            assert!(error.contains("+02:00"), "{error}");
        }
    }
}
