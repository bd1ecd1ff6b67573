#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

proptest! {
    #[test]
    fn every_point_in_time_falls_on_its_utc_day(
        seconds in 0i64..4_000_000_000,
        offset in -17i8..=17,
        minute in 0i8..60,
    ) {
        let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let offset =
            UtcOffset::from_hms(offset, if offset < 0 { -minute } else { minute }, 0).unwrap();
        let text = moment.to_offset(offset).format(&Rfc3339).unwrap();
        let expected = day_number(moment.date());
        let mut days = Days::new();

        // Another day at the same place must not be taken for it.
        days.day((moment.date() + Duration::days(320)).to_string().as_bytes());
        prop_assert_eq!(days.day(text.as_bytes()), Some(expected), "{}", text);
    }

    #[test]
    fn arbitrary_bytes_never_panic(text: Vec<u8>, tail: Vec<u8>) {
        let mut days = Days::new();
        days.day(&text);
        days.day(&[b"2024-09-18T22:00:00", tail.as_slice()].concat());
    }
}

#[test]
fn the_forms_of_the_exports_are_read_and_others_are_not() {
    let mut days = Days::new();
    let mut day = |text: &str| {
        days.day(text.as_bytes())
            .and_then(day_of)
            .map(|day| day.to_string())
    };

    for (text, expected) in [
        ("2024-09-18", "2024-09-18"),
        ("2024-09-18 22:00:00", "2024-09-18"),
        ("2024-09-18T22:00:00Z", "2024-09-18"),
        ("2024-09-18T22:00Z", "2024-09-18"),
        ("2024-09-18 22:00:00 UTC", "2024-09-18"),
        ("2024-09-18T22:00:00.000Z", "2024-09-18"),
        ("2024-09-18T22:00:00.0000000-03:00", "2024-09-19"),
        ("2024-10-01T01:00:00+0200", "2024-09-30"),
    ] {
        assert_eq!(day(text).as_deref(), Some(expected), "{text}");
    }

    for bad in [
        "",
        "4/1/25",
        "2024-13-01",
        "2024-02-30",
        "2023-02-01T30:00:00Z",
        "2024-09-18T22",
        "2024-09-18x",
        "20240918",
    ] {
        assert_eq!(day(bad), None, "{bad}");
    }
}
