use super::duration_in_words;

#[test]
fn time_left_has_two_units() {
    let durations_ms = [
        900,
        45_000,
        60_000,
        90_000,
        7_200_000,
        5_400_000,
        86_400_000 * 3,
        86_400_000 + 7_200_000,
    ];

    assert_eq!(
        durations_ms.map(duration_in_words),
        [
            "1 s",
            "45 s",
            "1 min",
            "1 min 30 s",
            "2 h",
            "1 h 30 min",
            "3 d",
            "1 d 2 h"
        ]
    );
}
