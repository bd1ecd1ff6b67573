//! The load: request rates of three models in bins of ten minutes, by origin.

use super::{
    error::ReplayError,
    platform::{MODELS, ORIGINS, REGIONS},
    scenario::Assumptions,
};

/// Length of a bin, minutes.
pub(super) const BIN_MINUTES: usize = 10;
/// Bins of a day.
pub(super) const BINS_PER_DAY: usize = 24 * 60 / BIN_MINUTES;
/// Columns of the file by model.
const COLUMNS: [&str; MODELS] = ["m_large_rps", "m_mid_rps", "m_small_rps"];
/// A rate below this share of its column's median is a gap in the recording: zeros, and partially
/// recorded bins next to them.
const GAP_SHARE: f64 = 0.05;
/// Most bins of a file: two years.
const BINS_MAX: usize = 730 * BINS_PER_DAY;
/// The largest valid rate, requests per second.
const RATE_MAX: f64 = 1e9;

/// Requests per second, by model and origin.
pub(super) type Rates = [[f64; ORIGINS]; MODELS];

/// Recorded rates of three models, large, mid and small, without gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    bins: Vec<[f64; MODELS]>,
}

impl Load {
    /// Reads a CSV with the columns `seconds` (0, 600, 1200, …), `m_large_rps`, `m_mid_rps` and
    /// `m_small_rps`, in any order. Gaps are interpolated linearly.
    pub fn read(file: &str, text: &str) -> Result<Self, ReplayError> {
        let fail = |line: usize, why: String| ReplayError::Load {
            file: file.to_owned(),
            line,
            why,
        };
        let mut lines = text.lines();
        let header: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .collect();

        let column = |name: &str| {
            let found = header.iter().position(|column| *column == name);
            found.ok_or_else(|| {
                fail(
                    1,
                    format!("no column {name:?}; expected seconds,{}", COLUMNS.join(",")),
                )
            })
        };

        let seconds = column("seconds")?;
        let columns = [
            column(COLUMNS[0])?,
            column(COLUMNS[1])?,
            column(COLUMNS[2])?,
        ];

        let mut bins = Vec::new();
        for (index, line) in lines.enumerate() {
            let number = index + 2;
            let cells = line.split(',').collect::<Vec<&str>>();
            let value = |column: usize| {
                let cell = cells.get(column).copied().unwrap_or_default().trim();
                let value = cell
                    .parse::<f64>()
                    .ok()
                    .filter(|value| (0.0..=RATE_MAX).contains(value));

                value.ok_or_else(|| {
                    fail(
                        number,
                        format!("{cell:?} is not a number from 0 to {RATE_MAX}"),
                    )
                })
            };

            let expected = (index * BIN_MINUTES * 60) as f64;
            if value(seconds)? != expected {
                return Err(fail(
                    number,
                    format!("expected {expected} in column seconds: one row for every ten minutes"),
                ));
            }

            if bins.len() == BINS_MAX {
                return Err(fail(number, format!("more than {BINS_MAX} rows")));
            }
            bins.push([value(columns[0])?, value(columns[1])?, value(columns[2])?]);
        }

        if bins.is_empty() {
            return Err(fail(1, "no rows".to_owned()));
        }
        (0..MODELS).for_each(|model| fill_gaps(&mut bins, model));
        Ok(Self { bins })
    }

    /// Number of complete recorded days.
    pub fn days(&self) -> usize {
        self.bins.len() / BINS_PER_DAY
    }

    /// Rates by model and origin in each bin of the first `days`. Each origin has its share of the
    /// recorded rates, shifted to its local time. The record wraps around: the first hours of an
    /// origin west of Greenwich are the last ones recorded.
    pub(super) fn demand(&self, assumptions: &Assumptions, days: usize) -> Vec<Rates> {
        let count = self.bins.len();
        let rates = |bin: usize| {
            let mut rates = Rates::default();
            for (origin, region) in REGIONS.iter().enumerate() {
                let shift = if assumptions.is_shifted {
                    region.utc_offset_minutes / BIN_MINUTES as i64
                } else {
                    0
                };
                let at = (bin as i64 + shift).rem_euclid(count as i64) as usize;

                for (model, rates) in rates.iter_mut().enumerate() {
                    rates[origin] =
                        self.bins[at][model] * region.demand_share * assumptions.load_factor;
                }
            }

            rates
        };

        (0..(days * BINS_PER_DAY).min(count)).map(rates).collect()
    }
}

/// Fills the gaps of one model by linear interpolation; at the ends, by the nearest bin.
fn fill_gaps(bins: &mut [[f64; MODELS]], model: usize) {
    let mut recorded: Vec<f64> = bins
        .iter()
        .map(|bin| bin[model])
        .filter(|rate| *rate > 0.0)
        .collect();

    recorded.sort_by(f64::total_cmp);
    let Some(median) = recorded.get(recorded.len() / 2) else {
        return;
    };
    let least = median * GAP_SHARE;

    let mut before: Option<usize> = None;
    for at in 0..=bins.len() {
        let is_recorded = at < bins.len() && bins[at][model] >= least;
        if !is_recorded && at < bins.len() {
            continue;
        }

        let start = before.map_or(0, |before| before + 1);
        for gap in start..at {
            bins[gap][model] = match before {
                Some(before) if is_recorded => {
                    let part = (gap - before) as f64 / (at - before) as f64;
                    bins[before][model] + (bins[at][model] - bins[before][model]) * part
                }
                Some(before) => bins[before][model],
                None => bins[at][model],
            };
        }

        before = Some(at);
    }
}

#[cfg(test)]
mod tests;
