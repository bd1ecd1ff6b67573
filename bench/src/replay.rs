//! Replays days of production load against dated prices and a simulated spot market, and compares
//! the cost of a mesh with that of other deployments.
//!
//! All strategies use the same planner (`regionmesh_cost::placement`), the same forecast, which
//! knows only the past, and the same controller. They differ in the regions, prices and rules that
//! they may use. Baselines run in the regions with the most callers; the report also has their cost
//! in other regions.

mod bill;
mod error;
mod fleet;
mod load;
mod planner;
mod platform;
mod prices;
mod report;
mod run;
mod scenario;
mod sensitivity;
mod spot;
mod strategy;
mod table;
mod traffic;

pub use bill::Bill;
pub use error::{DAYS_MAX, ReplayError, SEEDS_MAX};
pub use load::Load;
pub use prices::replay_prices;
pub use report::{Candidate, Goal, Range, Report};
pub use run::Outcome;
pub use scenario::{Assumptions, Callers, RoundTrips};
pub use sensitivity::{Sensitivity, Variant, sensitivity};
pub use spot::SpotProcess;
pub use strategy::Strategy;

use load::Rates;
use planner::Planner;
use platform::REGIONS;
use regionmesh_cost::Prices;
use run::Run;
use scenario::PriceList;
use strategy::RegionChoice;

/// The input of a replay.
#[derive(Debug, Clone)]
pub struct Replay<'a> {
    /// The recorded rates.
    pub load: &'a Load,
    /// Prices of nodes and egress.
    pub prices: &'a Prices,
    /// Round trips between regions.
    pub trips: &'a RoundTrips,
    pub assumptions: &'a Assumptions,
    /// Days from the start of the record, the warm-up included.
    pub days: usize,
    /// Seeds of the spot markets.
    pub seeds: &'a [u64],
}

impl Replay<'_> {
    /// Runs strategies with all seeds in the regions with the most callers, and in all other
    /// regions too if `is_everywhere`. The result depends only on the input.
    pub fn run(&self, strategies: &[Strategy], is_everywhere: bool) -> Result<Report, ReplayError> {
        let least = self.assumptions.warm_up_days + 1;
        let most = self.load.days().min(DAYS_MAX);
        if self.days < least || self.days > most {
            return Err(ReplayError::Days {
                given: self.days,
                least,
                most,
            });
        }

        if self.seeds.is_empty() || self.seeds.len() > SEEDS_MAX {
            return Err(ReplayError::Seeds(self.seeds.len()));
        }

        let demand = self.load.demand(self.assumptions, self.days);
        let list = PriceList::new(self.prices, self.assumptions);
        let mut candidates = Vec::new();

        for &strategy in strategies {
            let choices = strategy.choices();
            for &choice in if is_everywhere {
                choices
            } else {
                &choices[..1]
            } {
                candidates.push(self.candidate(strategy, choice, &demand, &list)?);
            }
        }

        let days = self.days - self.assumptions.warm_up_days;
        Ok(Report {
            days,
            warm_up_days: self.assumptions.warm_up_days,
            seeds: self.seeds.to_vec(),
            candidates,
        })
    }

    fn candidate(
        &self,
        strategy: Strategy,
        choice: RegionChoice,
        demand: &[Rates],
        list: &PriceList<'_>,
    ) -> Result<Candidate, ReplayError> {
        let assumptions = self.assumptions;
        let trips = self.trips;
        let plans = Planner {
            assumptions,
            list,
            trips,
            strategy,
            choice,
        }
        .plans(demand)?;

        let run = Run {
            assumptions,
            list,
            trips,
            demand,
            choice,
            plans: &plans,
        };

        let outcomes = self
            .seeds
            .iter()
            .map(|seed| run.play(*seed))
            .collect::<Result<_, _>>()?;

        Ok(Candidate {
            strategy,
            regions: choice.iter().map(|region| REGIONS[*region].name).collect(),
            committed: choice
                .iter()
                .map(|region| plans.last().map_or(0, |plan| plan.committed[*region]))
                .collect(),
            outcomes,
        })
    }
}
