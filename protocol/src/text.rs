//! Free text written by people: what it may contain, and how it is escaped.
//!
//! A line break in a reason forges a line of a log, an escape sequence rewrites a terminal, a
//! bidirectional override disguises a name. Requests with such characters are refused at the API
//! ([`unprintable`]); text from elsewhere (a peer, an older agent, a system error) is escaped where
//! it is escaped ([`visible`]).

use std::{borrow::Cow, fmt::Write};

/// Whether a character must not reach a log, a terminal or a DNS record unescaped: control
/// characters (C0, DEL, C1), line and paragraph separators, and those that change the direction of
/// text (Unicode TR36 §3.2, CVE-2021-42574).
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

/// The same set for the inside of a regular expression's character class (ECMA 262), for schemas.
pub const UNPRINTABLE_CLASS: &str =
    r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff";

/// The first character of `text` that is not printable.
pub fn unprintable(text: &str) -> Option<char> {
    text.chars().find(|c| is_unprintable(*c))
}

/// The text with every unprintable character escaped as in Rust: `\n`, `\u{1b}`. Text without such
/// characters is returned as it is.
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
    let escaped = match visible(text) {
        Cow::Borrowed(_) => return,
        Cow::Owned(escaped) => escaped,
    };
    *text = escaped;
}

#[cfg(test)]
mod tests;
