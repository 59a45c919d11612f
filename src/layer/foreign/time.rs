//! Times as RFC 3339 writes them, which Go's tools keep them as.

/// Days from 0000-03-01 to 1970-01-01, and of 400 years.
const DAYS_TO_1970: i64 = 719_468;
const DAYS_400: i64 = 146_097;

/// Seconds since 1970 of a time in any zone, rounded down; `None` for what is no such time.
pub(super) fn parsed(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(19)?;
    let is_sound =
        [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().all(|(at, mark)| date[*at] == *mark);
    if !is_sound {
        return None;
    }
    let field = |range: std::ops::Range<usize>, most| digits(&date[range]).filter(|value| *value <= most);
    let (year, month, day) = (field(0..4, 9999)?, field(5..7, 12)?, field(8..10, 31)?);
    let (hour, minute, second) = (field(11..13, 23)?, field(14..16, 59)?, field(17..19, 60)?);
    if month == 0 || day == 0 {
        return None;
    }
    let time = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(time - zone(fraction_passed(rest)?)?)
}

/// A time in Greenwich's zone, with as many digits of its fraction as it has; `None` outside of the years 0 to 9999.
pub(super) fn written(seconds: i64, nanoseconds: u32) -> Option<String> {
    let (day, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(day.checked_add(DAYS_TO_1970)?);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = format!(".{nanoseconds:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
}

/// Year, month and day of a count of days from 0000-03-01.
const fn date(days: i64) -> (i64, i64, i64) {
    let (era, of_era) = (days.div_euclid(DAYS_400), days.rem_euclid(DAYS_400));
    let of_400 = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_400 + of_400 / 4 - of_400 / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, year) = (of_year - (153 * month + 2) / 5 + 1, era * 400 + of_400);
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

/// What stands behind the fraction of a second, if there is one.
fn fraction_passed(rest: &[u8]) -> Option<&[u8]> {
    let Some(fraction) = rest.strip_prefix(b".") else { return Some(rest) };
    let len = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (len > 0).then(|| &fraction[len..])
}

/// Seconds that a zone is before Greenwich's.
fn zone(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let offset = digits(hours)?.checked_mul(3600)? + digits(&[*tens, *ones])? * 60;
            Some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Days since 1970 of a date in the Gregorian calendar; years begin in March, so that a leap day ends one.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * DAYS_400 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_written_is_read() {
        for seconds in (-62_167_219_200..=253_402_300_799).step_by(12_345_679) {
            let text = written(seconds, 0).unwrap();
            assert_eq!((parsed(text.as_bytes()), text.len()), (Some(seconds), 20), "{text}");
        }
        assert_eq!(written(951_827_696, 120_000_000).as_deref(), Some("2000-02-29T12:34:56.12Z"));
        assert_eq!(written(-1, 999_999_999).as_deref(), Some("1969-12-31T23:59:59.999999999Z"));
        assert_eq!(
            (written(-62_167_219_201, 0), written(253_402_300_800, 0), written(i64::MAX, 0)),
            (None, None, None)
        );
    }

    #[test]
    fn times_of_any_zone_are_seconds_since_1970() {
        let table: [(&str, Option<i64>); 17] = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:34:56Z", Some(951_827_696)),
            ("2024-05-06T07:08:09.123456789Z", Some(1_714_979_289)),
            ("2024-05-06T09:08:09+02:00", Some(1_714_979_289)),
            ("2024-05-05T23:38:09-07:30", Some(1_714_979_289)),
            ("1969-12-31T23:59:58.5Z", Some(-2)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799)),
            ("0000-01-01T00:00:00Z", Some(-62_167_219_200)),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01 00:00:00Z", None),
            ("1970-13-01T00:00:00Z", None),
            ("1970-00-01T00:00:00Z", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00+0200", None),
            ("10000-01-01T00:00:00Z", None),
            ("", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parsed(text.as_bytes()), seconds, "{text}");
        }
    }
}
