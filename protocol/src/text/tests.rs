use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn visible_text_is_printable_and_printable_text_is_unchanged(text: String) {
        let shown = visible(&text);
        prop_assert_eq!(unprintable(&shown), None);
        if unprintable(&text).is_none() {
            prop_assert_eq!(&*shown, text.as_str());
        }
    }

    #[test]
    fn escaping_twice_changes_nothing(text: String) {
        let once = visible(&text).into_owned();
        prop_assert_eq!(&*visible(&once), once.as_str());
    }
}

#[test]
fn line_breaks_escapes_and_overrides_are_escaped() {
    assert_eq!(visible("a\nb\r\t\0"), "a\\nb\\r\\t\\u{0}");
    assert_eq!(visible("\u{1b}]0;owned\u{7}"), "\\u{1b}]0;owned\\u{7}");
    assert_eq!(
        visible("\u{9b}31m\u{202e}drow\u{2066}\u{2028}"),
        "\\u{9b}31m\\u{202e}drow\\u{2066}\\u{2028}"
    );

    assert_eq!(visible("naïve 東京 👩‍🔬"), "naïve 東京 👩‍🔬");
}

#[test]
fn the_class_for_schemas_is_the_same_set() {
    let mut ranges = Vec::new();
    let parts: Vec<u32> = UNPRINTABLE_CLASS
        .split("\\u")
        .skip(1)
        .filter_map(|part| u32::from_str_radix(&part[..4], 16).ok())
        .collect();
    let is_range = |index: usize| {
        UNPRINTABLE_CLASS
            .split("\\u")
            .nth(index + 1)
            .is_some_and(|part| part.ends_with('-'))
    };

    let mut index = 0;
    while index < parts.len() {
        let last = if is_range(index) { index + 1 } else { index };
        ranges.push(parts[index]..=parts[last]);
        index = last + 1;
    }

    for c in '\0'..=char::MAX {
        assert_eq!(
            ranges.iter().any(|range| range.contains(&u32::from(c))),
            is_unprintable(c),
            "{:x}",
            u32::from(c)
        );
    }
}
