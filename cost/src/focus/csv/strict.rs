//! A record read byte by byte, where a quote opens a field only at its start (RFC 4180).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With a line feed.
    Complete,
    /// Text follows a closing quote.
    Stray,
    /// The bytes end first.
    Open,
}

/// Reads the record at `start`; `marks` gets the places of its separators, the line feed included.
pub(super) fn read(bytes: &[u8], start: usize, marks: &mut Vec<u32>) -> Outcome {
    marks.clear();
    let mut at = start;
    loop {
        if bytes.get(at) == Some(&b'"') {
            match closing_quote(bytes, at + 1) {
                None => return Outcome::Open,
                Some(quote) => at = quote + 1,
            }

            if bytes.get(at) == Some(&b'\r') {
                at += 1;
            }

            match bytes.get(at) {
                None => return Outcome::Open,
                Some(b',' | b'\n') => {}
                Some(_) => return Outcome::Stray,
            }
        } else {
            let rest = bytes.get(at..).unwrap_or_default();
            match rest.iter().position(|byte| matches!(byte, b',' | b'\n')) {
                None => return Outcome::Open,
                Some(length) => at += length,
            }
        }

        marks.push(at as u32);
        if bytes[at] == b'\n' {
            return Outcome::Complete;
        }
        at += 1;
    }
}

/// The quote that ends the field whose text begins at `start`; a doubled quote is an escaped one.
fn closing_quote(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == b'"')?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}
