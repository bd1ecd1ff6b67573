#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

/// Gives few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(self.1).min(buffer.len());
        let (now, later) = self.0.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

/// A record as line and raw fields, or a broken one.
type Read_ = Result<(u64, Vec<String>), (u64, Broken)>;

fn all(bytes: &[u8], step: usize) -> (Vec<Read_>, usize) {
    let mut records = Records::new(Slow(bytes, step));
    let mut found = Vec::new();
    loop {
        match records.next() {
            Next::End => return (found, records.buffer.len()),
            Next::Broken(line, broken, _) => found.push(Err((line, broken))),
            Next::Record(record) => {
                let text = |index| String::from_utf8_lossy(record.field(index)).into_owned();
                found.push(Ok((record.line, (0..record.len()).map(text).collect())));
            }
        }
    }
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9 '-]{0,12}",
        2 => "[a-z,\"\n\r]{0,12}".prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
        1 => "[a-z]{60,200}",
    ]
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(
        rows in proptest::collection::vec(proptest::collection::vec(field(), 3), 1..60),
        is_crlf: bool,
        has_end: bool,
        step in 1usize..300,
    ) {
        let end = if is_crlf { "\r\n" } else { "\n" };
        let mut text = rows
            .iter()
            .map(|row| row.join(","))
            .collect::<Vec<_>>()
            .join(end);

        if has_end {
            text.push_str(end);
        }

        let mut line = 1;
        let expected: Vec<Read_> = rows
            .iter()
            .map(|row| {
                let at = line;
                line += 1 + row
                    .iter()
                    .flat_map(|field| field.bytes())
                    .filter(|byte| *byte == b'\n')
                    .count() as u64;

                Ok((at, row.clone()))
            })
            .collect();

        prop_assert_eq!(all(text.as_bytes(), step).0, expected);
    }

    #[test]
    fn arbitrary_bytes_terminate(text in "[a,\"\n\r]{0,400}", step in 1usize..100) {
        let (found, _) = all(text.as_bytes(), step);
        prop_assert!(found.len() <= text.bytes().filter(|byte| *byte == b'\n').count() + 1);
    }

    #[test]
    fn a_stray_quote_costs_its_own_line(at in 0usize..50, column in 0usize..3, place in 0usize..3) {
        let mut rows = vec![["abc", "\"d,e\"", "f"].map(str::to_owned); 50];
        rows[at] = ["abc", "de", "f"].map(str::to_owned);

        let length = rows[at][column].len();
        rows[at][column].insert(place.min(length), '"');

        let text = rows
            .iter()
            .map(|row| row.join(",") + "\n")
            .collect::<String>();
        let (found, _) = all(text.as_bytes(), 1000);
        let others = found
            .iter()
            .flatten()
            .filter(|(line, _)| *line != at as u64 + 1);

        // If the first line is broken, the number of fields is unknown.
        prop_assert_eq!(others.count(), 49, "{:?}", found);
    }
}

#[test]
fn two_rows_with_a_stray_quote_are_not_merged() {
    let (found, _) = all(b"a,b,c\n1,5\" x,2\n3,6\" y,4\n", 5);
    let row = |line, fields: [&str; 3]| Ok((line, fields.map(str::to_owned).to_vec()));
    assert_eq!(
        found[1..],
        [row(2, ["1", "5\" x", "2"]), row(3, ["3", "6\" y", "4"])]
    );
}

#[test]
fn a_quote_without_an_end_costs_a_line_and_little_memory() {
    let mut text = String::from("a,b\n1,\"open\n");
    text.push_str(&"2,3\n".repeat(1_000_000));

    let (found, buffer) = all(text.as_bytes(), 1 << 16);
    assert_eq!(found[1], Err((2, Broken::TooLong)));
    assert_eq!((found.len(), found[2].clone().unwrap().0), (1_000_002, 3));
    assert!(buffer <= 4 * RECORD_MAX, "{buffer}");
}

#[test]
fn an_endless_field_is_not_buffered() {
    let mut text = vec![b'x'; 20 << 20];
    text[..5].copy_from_slice(b"a,b\n\"");
    text.extend_from_slice(b"\n1,2\n");

    let (found, buffer) = all(&text, 1 << 16);
    assert_eq!(
        found[1..],
        [
            Err((2, Broken::TooLong)),
            Ok((3, vec!["1".into(), "2".into()]))
        ]
    );

    assert!(buffer <= 4 * RECORD_MAX, "{buffer}");
}

#[test]
fn many_unterminated_quotes_are_given_up() {
    let text = "a,b\n".to_owned() + &("1,\"".to_owned() + &"x".repeat(2 << 20) + "\n").repeat(40);
    let mut records = Records::new(text.as_bytes());
    let mut count = 0;

    while !matches!(records.next(), Next::End) {
        count += 1;
    }
    assert!(records.is_given_up() && count < 25, "{count}");
}

#[test]
fn wrong_field_counts_and_truncated_files_are_reported() {
    let read = |text: &str| {
        all(text.as_bytes(), 7)
            .0
            .into_iter()
            .filter_map(Result::err)
            .collect::<Vec<_>>()
    };
    let fields = |found| Broken::Fields { found, expected: 2 };

    assert_eq!(
        read("a,b\n1,2\n1\n1,2,3\n\n4,5"),
        [(3, fields(1)), (4, fields(3))]
    );

    assert_eq!(read("a,b\n1,2\n1"), [(3, Broken::Cut)]);
    assert_eq!(read("a,b\n1,2\n1,\"x"), [(3, Broken::Cut)]);
    assert_eq!(read("a,b\n\"x\"y,2,3\n4,5\n"), [(2, Broken::Quote)]);
    assert_eq!(read("\u{feff}\"a\",b\n1,2\n"), []);
}
