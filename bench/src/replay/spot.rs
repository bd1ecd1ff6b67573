//! The spot market of each region: normal or scarce, by a Markov chain. Scarce markets interrupt
//! nodes often and grant none.

use super::platform::REGIONS;
use regionmesh_sim::random::Random;

/// Parameters of spot markets. The losses of `default()` are far above the bands of AWS's Spot
/// Instance Advisor (under 5 % to over 20 % per month), so that results do not favour spot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpotProcess {
    /// Probability that a normal market is scarce an hour later.
    pub scarce_per_hour: f64,
    /// Probability that a scarce market is normal an hour later.
    pub normal_per_hour: f64,
    /// Probability that a node is lost within an hour while the market is normal.
    pub loss_per_hour: f64,
    /// Probability that a node is lost within an hour while the market is scarce.
    pub scarce_loss_per_hour: f64,
}

impl Default for SpotProcess {
    fn default() -> Self {
        Self {
            scarce_per_hour: 0.02,
            normal_per_hour: 0.25,
            loss_per_hour: 0.01,
            scarce_loss_per_hour: 0.3,
        }
    }
}

impl SpotProcess {
    /// Long-run probability that a node is lost within an hour, the only figure that plans use.
    pub fn mean_loss_per_hour(&self) -> f64 {
        let sum = self.scarce_per_hour + self.normal_per_hour;
        let scarce = if sum > 0.0 {
            self.scarce_per_hour / sum
        } else {
            0.0
        };

        scarce * self.scarce_loss_per_hour + (1.0 - scarce) * self.loss_per_hour
    }
}

/// The markets of all regions, minute by minute.
pub(super) struct SpotMarkets {
    process: SpotProcess,
    /// Separates the draws of different seeds.
    key: u64,
    minute: u64,
    random: Random,
    is_scarce: [bool; REGIONS.len()],
}

impl SpotMarkets {
    pub(super) fn new(process: SpotProcess, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let key = random.draw();
        Self {
            process,
            key,
            minute: 0,
            random,
            is_scarce: [false; REGIONS.len()],
        }
    }

    /// Advances by a minute.
    pub(super) fn step(&mut self) {
        self.minute += 1;
        for is_scarce in &mut self.is_scarce {
            let change = if *is_scarce {
                self.process.normal_per_hour
            } else {
                self.process.scarce_per_hour
            };

            *is_scarce ^= unit(self.random.draw()) < per_minute(change);
        }
    }

    /// Whether a region grants no spot nodes.
    pub(super) fn is_scarce(&self, region: usize) -> bool {
        self.is_scarce[region]
    }

    /// Whether the region's spot node of this rank, oldest first, is interrupted in this minute.
    /// The draw does not depend on the loss rate, so a node that is lost at a low rate is also lost
    /// at a higher one.
    pub(super) fn is_lost(&self, region: usize, rank: usize) -> bool {
        let loss = if self.is_scarce[region] {
            self.process.scarce_loss_per_hour
        } else {
            self.process.loss_per_hour
        };
        let place = self.minute << 24 | (region as u64) << 16 | rank as u64;

        unit(Random::new(self.key ^ place).draw()) < per_minute(loss)
    }
}

/// A number from 0 up to 1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn per_minute(per_hour: f64) -> f64 {
    1.0 - (1.0 - per_hour.clamp(0.0, 1.0)).powf(1.0 / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spot_scarcity_and_losses_match_the_configured_rates() {
        let process = SpotProcess::default();
        let mut markets = SpotMarkets::new(process, 7);
        let mut scarce = 0u32;
        let mut lost = 0u32;
        let mut draws = 0u32;

        for _ in 0..600_000 {
            markets.step();
            for region in 0..REGIONS.len() {
                scarce += u32::from(markets.is_scarce(region));
                lost += u32::from(markets.is_lost(region, 3));
                draws += 1;
            }
        }

        let share = f64::from(scarce) / f64::from(draws);
        assert!(
            (share - 0.02 / 0.27).abs() < 0.01,
            "scarce for {share} of the time"
        );

        let per_hour = f64::from(lost) / f64::from(draws) * 60.0;
        assert!(
            (per_hour / process.mean_loss_per_hour() - 1.0).abs() < 0.15,
            "{per_hour} lost per hour"
        );
    }
}
