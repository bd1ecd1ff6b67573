//! Decodes the columns of rows.

use super::{BILLING_START, CHARGE_START, COST_NAMES, Rows, TEXT_NAMES};
use crate::cells::Period;
use crate::focus::collect::Collector;
use crate::focus::date::period_of;
use crate::focus::parquet::direct::RowGroup;
use crate::focus::parquet::values::{self, Dictionary};
use crate::focus::report::BadReason;
use crate::focus::tags::TagSets;
use arrow_array::{ArrayRef, RecordBatch};
use parquet::errors::ParquetError;

/// Months that have codes at the same time.
const MONTHS_MAX: usize = 64;
/// A bad row's month.
const NO_MONTH: u32 = u32::MAX;
/// The tags of invalid JSON.
const BAD_TAGS: u32 = u32::MAX;

impl Rows {
    /// Clears texts if there are too many. Returns whether it did.
    pub(super) fn make_room(&mut self, collector: &mut Collector) -> bool {
        let is_full = self.texts.iter().map(Dictionary::bytes).sum::<usize>() > values::KNOWN_MAX;
        if is_full {
            self.texts.iter_mut().for_each(Dictionary::clear);
            self.memo.clear();
            collector.start_file();
        }

        let has_many_tags = self.tags.bytes() > values::KNOWN_MAX;
        if has_many_tags {
            self.tags.clear();
            self.sets_of_codes.clear();
        }

        is_full || has_many_tags
    }

    /// Decodes the columns of a batch.
    pub(super) fn decode(
        &mut self,
        batch: &RecordBatch,
        collector: &mut Collector,
    ) -> Result<(), String> {
        let rows = batch.num_rows();
        let texts = self
            .columns
            .texts
            .iter()
            .zip(&mut self.texts)
            .zip(&mut self.codes)
            .zip(TEXT_NAMES);

        for (((column, dictionary), codes), name) in texts {
            let Some(column) = column else { continue };
            codes.resize(rows, values::MISSING);
            dictionary
                .read(batch.column(*column), |row, code| codes[row] = code)
                .map_err(|problem| format!("column {name}: {problem}"))?;
        }

        self.tag_sets.clear();
        self.tag_sets.resize(rows, TagSets::NONE);
        if let Some(column) = self.columns.tags {
            self.decode_tags(batch.column(column), collector)?;
        }

        for ((costs, column), name) in self
            .costs
            .iter_mut()
            .zip(self.columns.costs)
            .zip(COST_NAMES)
        {
            match column {
                Some(column) => costs
                    .read(batch.column(column))
                    .map_err(|problem| format!("column {name}: {problem}"))?,
                None => costs.fill(rows),
            }
        }

        self.charge_starts
            .read(batch.column(self.columns.charge_start))
            .map_err(|problem| format!("column {CHARGE_START}: {problem}"))?;
        match self.columns.billing_start {
            Some(column) => self
                .billing_starts
                .read(batch.column(column))
                .map_err(|problem| format!("column {BILLING_START}: {problem}"))?,
            None => self.billing_starts.fill(rows),
        }

        Ok(())
    }

    /// Decodes the next rows of a row group.
    pub(super) fn decode_pages(
        &mut self,
        group: &mut RowGroup,
        rows: usize,
        is_cleared: bool,
        collector: &mut Collector,
    ) -> Result<(), ParquetError> {
        for ((column, dictionary), codes) in group
            .texts
            .iter_mut()
            .zip(&mut self.texts)
            .zip(&mut self.codes)
        {
            let Some(column) = column else { continue };
            if is_cleared {
                column.read_dictionary(dictionary)?;
            }
            codes.resize(rows, values::MISSING);
            column.read(dictionary, codes)?;
        }

        self.tag_sets.clear();
        self.tag_sets.resize(rows, TagSets::NONE);
        if let Some(column) = &mut group.tags {
            if is_cleared {
                column.read_dictionary(&mut self.tags)?;
            }
            column.read(&mut self.tags, &mut self.tag_sets)?;
            self.sets_of_tags(collector);
        }

        for (column, costs) in group.costs.iter_mut().zip(&mut self.costs) {
            match column {
                Some(column) => column.read(costs, rows)?,
                None => costs.fill(rows),
            }
        }

        group.charge_starts.read(&mut self.charge_starts, rows)?;
        match &mut group.billing_starts {
            Some(column) => column.read(&mut self.billing_starts, rows)?,
            None => self.billing_starts.fill(rows),
        }

        Ok(())
    }

    fn decode_tags(&mut self, column: &ArrayRef, collector: &mut Collector) -> Result<(), String> {
        let Self { tags, tag_sets, .. } = self;
        if values::read_tag_lists(column, &mut collector.tags, tag_sets) {
            return Ok(());
        }
        tags.read(column, |row, code| tag_sets[row] = code)
            .map_err(|problem| format!("column Tags: {problem}"))?;
        self.sets_of_tags(collector);
        Ok(())
    }

    /// Replaces the codes of texts by sets of tags.
    fn sets_of_tags(&mut self, collector: &mut Collector) {
        let Self {
            tags,
            sets_of_codes,
            tag_sets,
            bad_tags,
            ..
        } = self;

        for code in sets_of_codes.len() as u32..=tags.highest() {
            let text = tags.text(code);
            let set = if text.is_empty() {
                Some(TagSets::NONE)
            } else {
                collector.tags.set(text)
            };

            sets_of_codes.push(set.unwrap_or(BAD_TAGS));
        }

        for set in tag_sets {
            // Until now, a code.
            *set = sets_of_codes[*set as usize];
            if *set == BAD_TAGS {
                *set = TagSets::NONE;
                *bad_tags += 1;
            }
        }
    }

    /// Finds the billing month of each row; for bad rows it is arbitrary.
    pub(super) fn find_periods(&mut self, rows: usize) {
        if self.months.len() > MONTHS_MAX {
            self.months.clear();
            self.memo.clear();
        }

        let Self {
            charge_starts,
            billing_starts,
            periods,
            months,
            ..
        } = self;

        periods.clear();
        let mut last = (values::NO_DAY, NO_MONTH);
        for row in 0..rows {
            let day = billing_starts.day(row).or_else(|reason| match reason {
                BadReason::Missing => charge_starts.day(row),
                other => Err(other),
            });
            let day = day.unwrap_or(values::NO_DAY);

            if day != last.0 {
                last = (
                    day,
                    period_of(day).map_or(NO_MONTH, |period| month_code(months, period)),
                );
            }

            periods.push(last.1);
        }
    }
}

fn month_code(months: &mut Vec<Period>, period: Period) -> u32 {
    let known = months.iter().position(|month| *month == period);
    known.unwrap_or_else(|| {
        months.push(period);
        months.len() - 1
    }) as u32
}
