//! Free text that people wrote: what it may hold, and how it is shown.
//!
//! A line break in a reason forges a line of a log, an escape sequence rewrites a terminal, a
//! bidirectional override shows a name as another. Requests with such characters are refused where
//! they come in ([`unprintable`]); what still comes from elsewhere (a peer, an older agent, an
//! error of the system) is escaped where it is shown ([`visible`]).

use std::{borrow::Cow, fmt::Write};

/// Whether a character must not reach a log, a terminal or a DNS record as it is: control
/// characters (C0, DEL, C1), line and paragraph separators, and those that change the direction of
/// text (Unicode TR36 §3.2, CVE-2021-42574).
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// The same set as the inside of a character class of a regular expression (ECMA 262), for schemas.
pub const UNPRINTABLE_CLASS: &str =
    r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff";

/// The first character of `text` that is not printable.
pub fn unprintable(text: &str) -> Option<char> {
    text.chars().find(|c| is_unprintable(*c))
}

/// The text with every unprintable character escaped as in Rust and JSON: `\n`, `\u{1b}`. What is
/// printable is untouched, so that a text without such characters costs nothing.
pub fn visible(text: &str) -> Cow<'_, str> {
    if unprintable(text).is_none() {
        return Cow::Borrowed(text);
    }

    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if is_unprintable(c) => {
                // Writing to a string can't fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }

    Cow::Owned(escaped)
}

/// Escapes a text in place, as [`visible`] does.
pub fn escape(text: &mut String) {
    let shown = match visible(text) {
        Cow::Borrowed(_) => return,
        Cow::Owned(shown) => shown,
    };
    *text = shown;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_visible_holds_nothing_unprintable_and_printable_text_is_untouched(text: String) {
            let shown = visible(&text);
            prop_assert_eq!(unprintable(&shown), None);
            if unprintable(&text).is_none() {
                prop_assert_eq!(&*shown, text.as_str());
            }
        }

        #[test]
        fn showing_twice_changes_nothing(text: String) {
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
}
