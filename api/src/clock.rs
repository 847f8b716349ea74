//! The wall clock, as milliseconds since 1970. One place, so that every part reads it alike.
//!
//! It may be wrong and it may jump. Leases, delays and time limits never count on it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 by this machine's clock; 0 for one that is set before.
pub fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// `12 s ahead of` or `1 h 2 min behind`: how one clock stands to another, for `ms` of the first minus the second.
pub fn against(ms: i64) -> String {
    let seconds = ms.unsigned_abs().div_ceil(1_000);
    let length = match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    };
    match ms < 0 {
        true => format!("{length} behind"),
        false => format!("{length} ahead of"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_one_clock_stands_to_another_is_said_in_words() {
        for (ms, said) in [
            (-7_000, "7 s behind"),
            (6_500, "7 s ahead of"),
            (3_600_000, "60 min ahead of"),
            (-9_000_000, "2 h 30 min behind"),
            (i64::MIN, "106751991167 days behind"),
        ] {
            assert_eq!(against(ms), said);
        }
        assert!(wall_ms() > 1_700_000_000_000, "after 2023");
    }
}
