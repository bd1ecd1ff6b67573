//! Whether a program printed what a page says.

/// Whether `actual` is the output on a page: `…` stands for any text, a line of `…` alone for any
/// lines. How wide columns are does not matter.
pub fn is_as_documented(documented: &str, actual: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let words = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        words.filter(|line| !line.is_empty()).collect()
    };

    lines_match(&lines(documented), &lines(actual))
}

fn lines_match(documented: &[String], actual: &[String]) -> bool {
    match (documented.split_first(), actual.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line == "…" => {
            let mut left = (0..=actual.len()).map(|count| &actual[count..]);
            left.any(|left| lines_match(rest, left))
        }
        (Some((line, rest)), Some((first, others))) => {
            line_matches(line, first) && lines_match(rest, others)
        }
        _ => false,
    }
}

fn line_matches(documented: &str, actual: &str) -> bool {
    let mut parts = documented.split('…');
    let Some(mut rest) = parts.next().and_then(|first| actual.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };

    for part in middle {
        let Some(place) = rest.find(part) else {
            return false;
        };
        rest = &rest[place + part.len()..];
    }

    rest.ends_with(last)
}
