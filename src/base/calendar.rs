//! Dates as people and old file systems write them: years, months, days, not seconds since 1970.

use std::fmt;

/// A time in UTC on the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year, which may be negative.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

const DAY: i64 = 86_400;
/// Days of 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;
/// Days from 0000-03-01, where an era starts, to 1970-01-01.
const EPOCH: i64 = 719_468;

impl Civil {
    /// The date of a time in seconds since 1970. A year is counted from March here, so that the leap day is its last.
    pub fn of(time: i64) -> Self {
        let days = time.div_euclid(DAY) + EPOCH;
        let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (next_year, month_of_year) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
        let second = time.rem_euclid(DAY);
        Self {
            year: era * 400 + year + next_year,
            month: small(month_of_year),
            day: small(day - (153 * month + 2) / 5 + 1),
            hour: small(second / 3600),
            minute: small(second / 60 % 60),
            second: small(second % 60),
        }
    }

    /// The same, moved to the first or last second of `years` when it lies outside.
    pub fn within(time: i64, years: std::ops::RangeInclusive<i64>) -> Self {
        let civil = Self::of(time);
        if civil.year < *years.start() {
            Self { year: *years.start(), month: 1, day: 1, hour: 0, minute: 0, second: 0 }
        } else if civil.year > *years.end() {
            Self { year: *years.end(), month: 12, day: 31, hour: 23, minute: 59, second: 59 }
        } else {
            civil
        }
    }
}

/// As ISO 8601 and RFC 3339 write it, such as `2017-04-18T16:30:00Z`.
impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn small(number: i64) -> u8 {
    u8::try_from(number).expect("parts of a date are below 256")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_have_their_dates() {
        let rows = [
            (0, (1970, 1, 1, 0, 0, 0)),
            (1_492_533_000, (2017, 4, 18, 16, 30, 0)),
            (951_782_399, (2000, 2, 28, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (-1, (1969, 12, 31, 23, 59, 59)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
        ];
        for (time, date) in rows {
            let c = Civil::of(time);
            assert_eq!((c.year, c.month, c.day, c.hour, c.minute, c.second), date, "{time}");
        }
        assert_eq!(Civil::of(1_492_533_000).to_string(), "2017-04-18T16:30:00Z");
    }

    #[test]
    fn a_time_outside_is_moved_to_the_border() {
        assert_eq!(Civil::within(0, 1980..=2107), Civil::of(315_532_800));
        assert_eq!(Civil::within(i64::from(u32::MAX) * 2, 1980..=2107), Civil::of(4_354_819_199));
    }
}
