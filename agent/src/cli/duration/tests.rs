use super::*;
use proptest::prelude::*;

#[test]
fn durations_have_one_form() {
    let read =
        ["90s", "1h30m", "2h", "3d", "500ms", "0s", "1d2h3m4s5ms"].map(|text| parse(text).unwrap());
    let expected = [
        90_000,
        5_400_000,
        7_200_000,
        259_200_000,
        500,
        0,
        93_784_005,
    ]
    .map(Duration::from_millis);

    assert_eq!(read, expected);
    for wrong in [
        "",
        "s",
        "1",
        "90",
        "1.5h",
        "-1s",
        "1m1h",
        "1s1s",
        "1w",
        "1h 30m",
        "99999999999999999999s",
        "9999999999999999d",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn durations_round_trip(ms in any::<u64>()) {
        let duration = Duration::from_millis(ms);
        prop_assert_eq!(parse(&format(duration)), Ok(duration));
    }

    #[test]
    fn no_input_panics(text in "\\PC{0,24}") {
        let _ = parse(&text);
    }
}
