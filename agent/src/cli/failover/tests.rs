use super::*;

#[test]
fn durations_are_read_and_bounded() {
    let read = ["90s", "30m", "1h30m", "30d"].map(|text| duration_ms(text).unwrap());
    assert_eq!(read, [90_000, 1_800_000, 5_400_000, FOR_MAX_MS]);
    for wrong in [
        "",
        "s",
        "1",
        "1.5h",
        "-1s",
        "0s",
        "31d",
        "1w",
        "99999999999999999999s",
        "9999999999999999d",
    ] {
        assert!(duration_ms(wrong).is_err(), "{wrong}");
    }
}
