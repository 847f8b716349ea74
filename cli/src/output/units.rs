//! Numbers as people read them: bytes, lengths of time, moments.
//!
//! Separate so that every table says the same thing the same way.

/// `1.0 MiB`.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{n} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A length of time in seconds, two units at most: `0.3s`, `12s`, `3m05s`, `2h10m`, `4d3h`.
pub fn seconds_short(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// How long ago `then_ms` was, in whole units; a moment in the future (clocks differ) is now.
pub fn age(then_ms: i64, now_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(then_ms).max(0) / 1000;
    seconds_short(seconds as f64).replace(".0s", "s")
}

/// `2026-11-23 10:48:11 UTC`.
pub fn moment(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{ms} ms since 1970"),
    }
}

/// `text` with control characters replaced, so that what others wrote cannot drive the terminal.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// At most `max` characters of `text`, with an ellipsis if that cuts it.
pub fn clip(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars()
        .take(max.saturating_sub(1))
        .chain(['…'])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_055_736, "1.0 MiB"),
            (5 << 40, "5.0 TiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (s, text) in [
            (0.26, "0.3s"),
            (9.99, "10s"),
            (59.4, "59s"),
            (60.0, "1m00s"),
            (3725.0, "1h02m"),
            (90_000.0, "1d1h"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(seconds_short(s), text);
        }
    }

    #[test]
    fn an_age_is_never_negative() {
        assert_eq!(age(5_000, 1_000), "0s");
        assert_eq!(age(0, 4_900), "4s");
        assert_eq!(age(0, 65_000), "1m05s");
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(1_763_894_891_000), "2025-11-23 10:48:11 UTC");
        assert!(moment(i64::MAX).contains("since 1970"));
    }
}
