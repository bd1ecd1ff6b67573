//! The scale on which costs are forecast.

/// Days of typical size lie at ±asinh(10): far enough out for differences to be relative, near
/// enough to zero for a day without cost not to look like a catastrophe.
const UNITS_PER_TYPICAL_DAY: f64 = 10.0;

/// Maps amounts to numbers in which equal ratios are about equally far apart, as a logarithm does,
/// but also where amounts are zero or negative: the inverse hyperbolic sine (Burbidge, Magee and
/// Robb, JASA 83, 1988). Costs grow and swing by ratios, and a day of ten times the usual cost must
/// not outweigh the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    unit: f64,
    /// Without credits in the past none are forecast.
    has_negative: bool,
}

impl Scale {
    /// The scale that suits `costs`; `None` if all of them are zero.
    pub(super) fn of(costs: &[f64]) -> Option<Self> {
        let mut sizes: Vec<f64> = costs
            .iter()
            .map(|cost| cost.abs())
            .filter(|size| *size > 0.0)
            .collect();

        sizes.sort_by(f64::total_cmp);
        let typical = *sizes.get(sizes.len() / 2)?;
        Some(Self {
            unit: typical / UNITS_PER_TYPICAL_DAY,
            has_negative: costs.iter().any(|cost| *cost < 0.0),
        })
    }

    /// The scale for sums of `days` days.
    pub(super) fn times(self, days: usize) -> Self {
        Self {
            unit: self.unit * days.max(1) as f64,
            ..self
        }
    }

    pub(super) fn apply(&self, cost: f64) -> f64 {
        (cost / self.unit).asinh()
    }

    pub(super) fn invert(&self, scaled: f64) -> f64 {
        let cost = scaled.sinh() * self.unit;
        if self.has_negative {
            cost
        } else {
            cost.max(0.0)
        }
    }
}
