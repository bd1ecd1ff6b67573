//! Rows of a CSV file.

use super::amount;
use super::charge::{Fault, FileContext, Texts};
use super::collect::Collector;
use super::columns::{BILLING_START, CHARGE_START, COST_NAMES, Columns};
use super::csv::{Broken, Next, Record, Records};
use super::date::{Days, period_of};
use super::report::{BadReason, BadRow, FileError, FileReport, ImportReport, Warning};
use super::tags::TagSets;
use crate::cells::{Period, Sums};
use crate::money::{Amount, AmountError, Currency};
use std::borrow::Cow;
use std::io::Read;

/// Rows between two looks at the number of cells.
const CHECKED_ROWS: u64 = 1 << 12;

/// Reads a CSV file to its end or the first fatal error.
pub(super) fn read(
    input: impl Read,
    currency: Option<Currency>,
    collector: &mut Collector,
    report: &mut ImportReport,
    file: &mut FileReport,
) -> Result<(), FileError> {
    let mut records = Records::new(input);
    let outcome = read_records(&mut records, currency, collector, report, file);
    file.bytes = records.bytes();
    outcome
}

fn read_records(
    records: &mut Records<impl Read>,
    currency: Option<Currency>,
    collector: &mut Collector,
    report: &mut ImportReport,
    file: &mut FileReport,
) -> Result<(), FileError> {
    let names = header(records, &file.name)?;
    let (columns, warnings) = Columns::find(&file.name, &names, currency.is_some())?;
    file.warnings = warnings;

    let context = FileContext::new(&file.name, &columns, currency);
    collector.start_file();

    let mut rows = Rows {
        columns,
        context,
        days: Days::new(),
        key: Key::default(),
        period: None,
        bad_tags: 0,
        unlisted: 0,
        rounded: 0,
    };

    let mut cut = None;
    let mut line = 1;
    loop {
        let bad = match records.next() {
            Next::End => break,
            Next::Record(record) => {
                line = record.line;
                match rows.add(&record, collector) {
                    Ok(()) => {
                        file.imported += 1;
                        None
                    }
                    Err(fault) => Some(BadRow::new(
                        &file.name,
                        line,
                        fault.column,
                        &fault.value,
                        fault.reason,
                    )),
                }
            }
            Next::Broken(at, broken, sample) => {
                line = at;
                cut = (broken == Broken::Cut).then_some(at);
                let (reason, value) = broken_row(broken, sample);
                Some(BadRow::new(&file.name, at, "", &value, reason))
            }
        };

        file.rows += 1;
        if let Some(row) = bad {
            report.add_bad(row);
        }

        if file.rows.is_multiple_of(CHECKED_ROWS) {
            collector.check(&file.name)?;
        }
    }

    report.rounded += rows.rounded;
    if rows.bad_tags > 0 {
        file.warnings.push(Warning::Tags(rows.bad_tags));
    }
    if rows.unlisted > 0 {
        file.warnings.push(Warning::NoListCost(rows.unlisted));
    }
    collector.check(&file.name)?;
    end_of(records, &file.name, line, cut)
}

/// Whether a file ended as it should.
fn end_of(
    records: &Records<impl Read>,
    file: &str,
    line: u64,
    cut: Option<u64>,
) -> Result<(), FileError> {
    let file = file.to_owned();
    if records.is_given_up() {
        return Err(FileError::Quotes { file, line });
    }

    match (records.failure(), cut) {
        (Some(error), _) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(FileError::EndsEarly { file, line })
        }
        (Some(error), _) => Err(FileError::Read {
            file,
            bytes: records.bytes(),
            message: error.to_string(),
        }),
        (None, Some(line)) => Err(FileError::EndsEarly { file, line }),
        (None, None) => Ok(()),
    }
}

fn broken_row(broken: Broken, sample: &[u8]) -> (BadReason, Vec<u8>) {
    let reason = match broken {
        Broken::Fields { found, expected } => {
            let counted = [format!("{found} of {expected}: ").as_bytes(), sample].concat();
            return (BadReason::FieldCount, counted);
        }
        Broken::Quote => BadReason::StrayQuote,
        Broken::TooLong => BadReason::TooLong,
        Broken::Cut => BadReason::Cut,
    };

    (reason, sample.to_vec())
}

fn header(records: &mut Records<impl Read>, file: &str) -> Result<Vec<String>, FileError> {
    let error = |problem: &str| FileError::Format {
        file: file.into(),
        problem: problem.into(),
    };
    let names = match records.next() {
        Next::Record(record) => (0..record.len())
            .map(|index| unquoted(record.field(index)).into_owned())
            .collect(),
        Next::Broken(..) => return Err(error("the first line is not a header")),
        Next::End => Vec::new(),
    };

    if let (true, Some(failure)) = (names.is_empty(), records.failure()) {
        return Err(match failure.kind() {
            std::io::ErrorKind::UnexpectedEof => FileError::EndsEarly {
                file: file.into(),
                line: 1,
            },
            _ => FileError::Read {
                file: file.into(),
                bytes: records.bytes(),
                message: failure.to_string(),
            },
        });
    }

    let text = |name: &Vec<u8>| match std::str::from_utf8(name) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ if name.starts_with(b"\xff\xfe") || name.starts_with(b"\xfe\xff") => {
            Err(error("the file is in UTF-16"))
        }
        _ => Err(error("the first line is not text")),
    };

    match names.as_slice() {
        [] => Err(error("the file is empty")),
        names => names.iter().map(text).collect(),
    }
}

/// Turns the records of one file into charges.
struct Rows {
    columns: Columns,
    context: FileContext,
    days: Days,
    key: Key,
    /// The last billing month, by its text.
    period: Option<(Vec<u8>, Period)>,
    bad_tags: u64,
    /// Usage without a list cost.
    unlisted: u64,
    rounded: u64,
}

impl Rows {
    #[inline]
    fn add(&mut self, record: &Record<'_>, collector: &mut Collector) -> Result<(), Fault> {
        let start = plain(record.field(self.columns.charge_start));
        let day = self
            .days
            .day(start)
            .ok_or_else(|| bad_date(CHARGE_START, start))?;
        let period = self.period(record, day)?;
        let tags = match self.columns.tags {
            Some(column) if !collector.tags.is_unused() => {
                self.tags(record.field(column), collector)
            }
            _ => TagSets::NONE,
        };

        self.key.start(tags, period);
        for column in self.columns.texts.iter().flatten() {
            let (bytes, length) = record.field_and_rest(*column);
            self.key.push(bytes, length);
        }

        let texts = || texts_of(&self.columns, record);
        let series = collector.series(&self.context, self.key.bytes(), period, texts)?;

        let [effective, billed, list] = self.columns.costs;
        let mut is_rounded = false;
        let mut cost = |column: Option<usize>, name: &'static str| match column {
            None => Ok(Amount::ZERO),
            Some(column) => {
                let text = record.field(column);
                let (amount, rounded) =
                    amount_of(text).map_err(|reason| Fault::new(name, plain(text), reason))?;
                is_rounded |= rounded;
                Ok(amount)
            }
        };

        let effective = cost(effective, COST_NAMES[0])?;
        let billed = cost(billed, COST_NAMES[1])?;

        // Counts only for usage.
        let list = match collector
            .is_usage(series)
            .then(|| cost(list, COST_NAMES[2]))
        {
            None => Amount::ZERO,
            // Not everything has a list price; its other costs still count.
            Some(Err(fault)) if fault.reason == BadReason::Missing => {
                self.unlisted += 1;
                Amount::ZERO
            }
            Some(list) => list?,
        };

        let sums = Sums {
            effective,
            billed,
            list,
            rows: 1,
        };

        self.rounded += u64::from(is_rounded);
        collector.add(series, day, tags, sums, texts);
        Ok(())
    }

    /// The billing month, or else that of the charge.
    #[inline]
    fn period(&mut self, record: &Record<'_>, day: i32) -> Result<Period, Fault> {
        let text = self
            .columns
            .billing_start
            .map_or(&[][..], |column| plain(record.field(column)));

        if let Some((known, period)) = &self.period
            && known == text
            && !text.is_empty()
        {
            return Ok(*period);
        }

        let is_missing = is_missing(text);
        let day = if is_missing {
            Some(day)
        } else {
            self.days.day(text)
        };
        let period = day
            .and_then(period_of)
            .ok_or_else(|| bad_date(BILLING_START, text))?;

        if !is_missing {
            self.period = Some((text.to_vec(), period));
        }
        Ok(period)
    }

    fn tags(&mut self, field: &[u8], collector: &mut Collector) -> u32 {
        if is_missing(plain(field)) {
            return TagSets::NONE;
        }
        collector.tags.set(&unquoted(field)).unwrap_or_else(|| {
            self.bad_tags += 1;
            TagSets::NONE
        })
    }
}

/// Concatenated fields that identify a series.
#[derive(Default)]
struct Key {
    bytes: Vec<u8>,
    length: usize,
}

/// Short fields are copied whole, by instructions instead of a call.
const SHORT: usize = 48;

impl Key {
    #[inline]
    fn start(&mut self, tags: u32, period: Period) {
        self.length = 0;
        let [t0, t1, t2, t3] = tags.to_le_bytes();
        let [y0, y1, ..] = period.year.to_le_bytes();
        let mut head = [0; SHORT];

        head[..7].copy_from_slice(&[t0, t1, t2, t3, y0, y1, u8::from(period.month)]);
        self.push(&head, 7);
    }

    /// Adds the first `length` bytes.
    #[inline]
    fn push(&mut self, bytes: &[u8], length: usize) {
        let start = self.length;
        let end = self.length + length;
        if end + SHORT >= self.bytes.len() {
            self.bytes.resize((end + SHORT) * 2, 0);
        }

        match bytes.first_chunk::<SHORT>() {
            Some(chunk) if length <= SHORT => {
                self.bytes[start..start + SHORT].copy_from_slice(chunk)
            }
            _ => self.bytes[start..end].copy_from_slice(&bytes[..length]),
        }

        // Never in a field without quotes around it.
        self.bytes[end] = b'\n';
        self.length = end + 1;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn bad_date(column: &'static str, text: &[u8]) -> Fault {
    Fault::new(
        column,
        text,
        if is_missing(text) {
            BadReason::Missing
        } else {
            BadReason::Date
        },
    )
}

#[inline]
fn amount_of(field: &[u8]) -> Result<(Amount, bool), BadReason> {
    amount::parse(field).or_else(|_| {
        let text = plain(field).trim_ascii();
        amount::parse(text).map_err(|error| match error {
            _ if is_missing(text) => BadReason::Missing,
            AmountError::TooLarge => BadReason::TooLarge,
            AmountError::Syntax => BadReason::Number,
        })
    })
}

fn texts_of<'a>(columns: &Columns, record: &Record<'a>) -> Texts<'a> {
    let text = |column: usize| match unquoted(record.field(column)) {
        text if is_missing(&text) => Cow::Borrowed(&[][..]),
        text => text,
    };

    columns
        .texts
        .map(|column| column.map_or(Cow::Borrowed(&[][..]), text))
}

/// Whether a text means no value.
#[inline]
pub(super) fn is_missing(text: &[u8]) -> bool {
    matches!(text, [] | b"NULL" | b"null")
}

/// Without its quotes; quotes inside stay doubled, which no date or number has.
#[inline]
fn plain(field: &[u8]) -> &[u8] {
    match field {
        [b'"', text @ .., b'"'] => text,
        _ => field,
    }
}

/// The text of a field.
fn unquoted(field: &[u8]) -> Cow<'_, [u8]> {
    let text = plain(field);
    if text.len() == field.len() || !text.contains(&b'"') {
        return Cow::Borrowed(text);
    }

    let mut whole = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        whole.push(*byte);
        if *byte == b'"' {
            // The second one of two.
            bytes.next();
        }
    }

    Cow::Owned(whole)
}
