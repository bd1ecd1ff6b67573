//! A streaming detector for one series: the maximum of several z-streams, each scaled by its own
//! decaying past maximum, so a stream which is always noisy stays silent. Constant time and bounded
//! memory per point.

use super::{
    season::Season,
    stream::{Surprise, ZStream, weight},
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const DAY_S: i64 = 86_400;
const WEEK_S: i64 = 7 * DAY_S;
/// Points that the slow level averages over, within the limits of [`SLOW_MIN_S`] and
/// [`SLOW_MAX_S`].
const SLOW_POINTS: i64 = 288;
const SLOW_MIN_S: i64 = DAY_S;
const SLOW_MAX_S: i64 = 4 * WEEK_S;
/// Residuals that a stream learns at least before it keeps a maximum.
const WARM_UP_POINTS_MIN: u32 = 8;
/// Surprise that is an alarm, as a ratio to what the stream has shown before.
pub(super) const ALARM_RATIO: f64 = 1.2;
/// Surprise that is a record at all, as such a ratio: below it the past maximum was as much.
const RECORD_RATIO: f64 = 1.02;
/// Values beyond it are ignored, as infinities are.
const VALUE_MAX: f64 = 1e100;

/// Why a detector can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DetectorError {
    /// Points too close or too far apart.
    #[error("points are {0} s apart; expected an interval of 1 s to one week")]
    Interval(u32),
}

/// Why a point is surprising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// Far from the slow level.
    Level,
    /// The mean of the last points is far from the slow level.
    ShortMean,
    /// A large step from the point before.
    Difference,
    /// Far from what is usual at this time of the day.
    Daily,
    /// Far from what is usual at this time of the week.
    Weekly,
}

/// A detector's result for a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// From 0 to below 1. 0.5 is as much surprise as the stream has shown before (or 4 deviations
    /// where it was calmer); 0 until the detector has warmed up.
    pub score: f64,
    /// Whether the surprise is a fifth more than the stream has shown before, and the first in a
    /// while (6 hours, a week of billed days). Until that while is over, scores are at most 0.5. So
    /// are those of smaller surprises, so long after one.
    pub is_alarm: bool,
    /// The ratio that the score is from, whether or not an alarm came shortly before.
    pub(super) surprise: f64,
    /// The stream that the score is from; `None` if it is 0.
    pub stream: Option<StreamKind>,
    /// Whether the value was higher than expected, not lower.
    pub is_rise: bool,
    /// The value that was expected: the slow level's, or the season's where the series has one.
    pub expected: f64,
    /// The lowest value that is unsurprising by level or season.
    pub low: f64,
    /// The highest value that is unsurprising by level or season.
    pub high: f64,
}

/// Windows in points, from the interval between points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Pace {
    interval_s: i64,
    slow: f64,
    short: usize,
    warm_up: u32,
    /// After an alarm, seconds without another one.
    hold_s: i64,
    /// Decay of a past maximum per interval.
    decay: f64,
}

impl Pace {
    fn new(interval_s: u32) -> Result<Self, DetectorError> {
        let interval = i64::from(interval_s);
        if !(1..=WEEK_S).contains(&interval) {
            return Err(DetectorError::Interval(interval_s));
        }

        let slow_s = (SLOW_POINTS * interval).clamp(SLOW_MIN_S, SLOW_MAX_S);
        let slow = (slow_s as f64 / interval as f64).max(2.0);

        // A weekly event must not set a record every week.
        let half_life = (4 * WEEK_S) as f64 / interval as f64;
        Ok(Self {
            interval_s: interval,
            slow,
            short: ((slow / 24.0) as usize).max(3),
            warm_up: (DAY_S / interval).max(14) as u32,
            hold_s: slow_s / 4,
            decay: 0.5f64.powf(1.0 / half_life),
        })
    }
}

/// The state of the detector of one series. It can be stored and read back at any point: exactly by
/// the protocol's codec; readers of JSON may be off in a number's last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    pace: Pace,
    count: u32,
    at_s: Option<i64>,
    alarm_at_s: Option<i64>,
    record_at_s: Option<i64>,
    level: f64,
    /// The last values, oldest first, without a gap between them.
    recent: VecDeque<f64>,
    daily: Option<Season>,
    weekly: Option<Season>,
    level_stream: ZStream,
    short_stream: ZStream,
    difference_stream: ZStream,
}

impl Detector {
    /// A detector for points `interval_s` seconds apart: 60 on the live plane, 86,400 for billed
    /// days.
    pub fn new(interval_s: u32) -> Result<Self, DetectorError> {
        let pace = Pace::new(interval_s)?;
        Ok(Self {
            pace,
            count: 0,
            at_s: None,
            alarm_at_s: None,
            record_at_s: None,
            level: 0.0,
            recent: VecDeque::new(),
            daily: Season::new(DAY_S, 300, pace.interval_s),
            weekly: Season::new(WEEK_S, 1_800, pace.interval_s),
            level_stream: ZStream::default(),
            short_stream: ZStream::default(),
            difference_stream: ZStream::default(),
        })
    }

    /// Whether enough points were seen for scores above 0: a day of them, and at least 14.
    pub fn is_warm(&self) -> bool {
        self.count >= self.pace.warm_up
    }

    /// Judges a point against the ones before it, then learns it. `at_s` counts seconds since 1970.
    /// A value that is not finite, and a point that is not later than the last one, are ignored:
    /// their score is 0.
    pub fn observe(&mut self, at_s: i64, value: f64) -> Reading {
        let mut reading = self.expect(at_s);
        let is_late = self.at_s.is_some_and(|last| at_s <= last);
        if !value.is_finite() || value.abs() > VALUE_MAX || is_late {
            return reading;
        }

        let elapsed = self.at_s.map_or(1.0, |last| {
            let points = at_s.saturating_sub(last) as f64 / self.pace.interval_s as f64;
            points.max(1.0)
        });
        let was_warm = self.is_warm();
        let previous = self.recent.back().copied();

        if elapsed > self.pace.short as f64 {
            self.recent.clear();
        }

        let surprises = self.surprises(at_s, value, previous.filter(|_| elapsed < 2.0), elapsed);
        self.at_s = Some(at_s);

        let surprises = surprises.into_iter().flatten().filter(|_| was_warm);
        if let Some((stream, ratio, is_rise)) =
            surprises.max_by(|(_, a, _), (_, b, _)| a.total_cmp(b))
        {
            // One incident raises one alarm and one record without an alarm; what follows right
            // away is part of it.
            let is_held = |since: Option<i64>| {
                since.is_some_and(|last| at_s.saturating_sub(last) < self.pace.hold_s)
            };
            let is_alarm = ratio >= ALARM_RATIO && !is_held(self.alarm_at_s);
            let is_new = is_alarm || !(is_held(self.alarm_at_s) || is_held(self.record_at_s));
            let capped = if is_new { ratio } else { ratio.min(1.0) };

            reading = Reading {
                score: capped / (1.0 + capped),
                stream: Some(stream),
                is_rise,
                ..reading
            };

            reading.surprise = ratio;
            reading.is_alarm = is_alarm;
            if ratio >= RECORD_RATIO {
                self.record_at_s = Some(at_s);
            }

            if is_alarm {
                self.alarm_at_s = Some(at_s);
            }
        }

        reading
    }

    /// The expectation at a time before its value is known; its score is 0.
    pub fn expect(&self, at_s: i64) -> Reading {
        let mut expected = self.level;
        let mut stream = &self.level_stream;
        for season in [&self.daily, &self.weekly].into_iter().flatten() {
            let is_better = season.residuals.mean_absolute() < stream.mean_absolute();
            if let Some(mean) = season
                .mean(at_s)
                .filter(|_| is_better && season.is_predictive(&self.level_stream))
            {
                expected = mean;
                stream = &season.residuals;
            }
        }

        let (below, above) = stream.quiet_band();
        let deviation = stream.deviation(expected.abs());
        let low = expected - below * deviation;
        let high = expected + above * deviation;

        Reading {
            score: 0.0,
            is_alarm: false,
            surprise: 0.0,
            stream: None,
            is_rise: false,
            expected,
            low,
            high,
        }
    }

    /// The slow level: the mean of about a day, or of more where points are far apart.
    pub(super) fn level(&self) -> f64 {
        self.level
    }

    /// The usual value at this time of day, even if the series doesn't follow a daily pattern.
    pub(super) fn time_of_day(&self, at_s: i64) -> Option<f64> {
        self.daily.as_ref().and_then(|season| season.mean(at_s))
    }

    /// Feeds every stream and learns the value.
    fn surprises(
        &mut self,
        at_s: i64,
        value: f64,
        previous: Option<f64>,
        elapsed: f64,
    ) -> [Option<(StreamKind, f64, bool)>; 5] {
        let pace = self.pace;
        let decay = if elapsed > 1.0 {
            pace.decay.powf(elapsed)
        } else {
            pace.decay
        };
        let magnitude = self.level.abs().max(value.abs());
        let observe = |stream: &mut ZStream, kind: StreamKind, residual: f64, warm_up: u32| {
            let Surprise { ratio, learned } =
                stream.observe(residual, magnitude, pace.slow, decay, warm_up);
            (Some((kind, ratio, residual > 0.0)), learned)
        };
        let warm_up = (pace.warm_up / 4).max(WARM_UP_POINTS_MIN);

        let season = |season: &mut Option<Season>, kind: StreamKind, level_stream: &ZStream| {
            let season = season.as_mut()?;
            let Some(mean) = season.mean(at_s) else {
                season.learn(at_s, value, None);
                return None;
            };
            let (surprise, learned) = observe(&mut season.residuals, kind, value - mean, warm_up);

            season.learn(at_s, value, Some(learned));
            surprise.filter(|_| season.is_predictive(level_stream))
        };

        let daily = season(&mut self.daily, StreamKind::Daily, &self.level_stream);
        let weekly = season(&mut self.weekly, StreamKind::Weekly, &self.level_stream);

        let difference = previous.and_then(|previous| {
            let stream = &mut self.difference_stream;
            observe(stream, StreamKind::Difference, value - previous, warm_up).0
        });

        self.recent.push_back(value);
        while self.recent.len() > pace.short {
            self.recent.pop_front();
        }

        let short_mean = (self.recent.len() == pace.short && self.count > 0).then(|| {
            let mean = self.recent.iter().sum::<f64>() / pace.short as f64;
            let stream = &mut self.short_stream;
            observe(stream, StreamKind::ShortMean, mean - self.level, warm_up).0
        });

        let level = if self.count == 0 {
            self.level = value;
            None
        } else {
            let residual = value - self.level;
            let (surprise, learned) =
                observe(&mut self.level_stream, StreamKind::Level, residual, warm_up);

            self.level += weight(self.count.saturating_add(1), pace.slow) * learned;
            surprise
        };

        self.count = self.count.saturating_add(1);
        [level, short_mean.flatten(), difference, daily, weekly]
    }
}

#[cfg(test)]
mod tests;
