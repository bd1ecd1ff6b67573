//! The operating system's errors as text, without error numbers.

use std::io;

/// Longest text quoted within a sentence, characters.
pub const QUOTED_MAX: usize = 160;

/// The error in words.
pub fn io_error(error: &io::Error) -> String {
    without_numbers(&error.to_string())
}

/// The error as part of a sentence: "connection refused".
pub fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut characters = text.chars();

    match characters.next() {
        Some(first) => first
            .to_lowercase()
            .chain(characters)
            .take(QUOTED_MAX)
            .collect(),
        None => "unknown error".into(),
    }
}

/// The text without each " (os error N)".
pub fn without_numbers(text: &str) -> String {
    const MARK: &str = " (os error ";

    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MARK) {
        result += before;
        let digits = after.trim_start_matches(|c: char| c.is_ascii_digit());
        match digits.strip_prefix(')') {
            Some(after_number) if digits.len() < after.len() => rest = after_number,
            _ => {
                result += MARK;
                rest = after;
            }
        }
    }

    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_os_error_numbers_are_removed() {
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(io_error(&missing), "No such file or directory");
        assert_eq!(io_words(&missing), "no such file or directory");
        assert_eq!(
            without_numbers("a: b (os error 98); c (os error 111)"),
            "a: b; c"
        );

        for text in [
            "",
            "plain",
            "x (os error )",
            "x (os error 1",
            "x (os error a)",
        ] {
            assert_eq!(without_numbers(text), text);
        }
    }
}
