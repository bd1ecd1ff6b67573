//! Replays days of production load against dated prices and a spot market, and compares what a mesh
//! costs with what others do.
//!
//! Every strategy is planned by the same program (`regionmesh_cost::placement`) from the same
//! forecast, which knows only the past, and is run by the same controller; they differ in the
//! regions, prices and rules that they may use. A baseline is in the regions that most callers are
//! in; what it would have cost elsewhere is part of the report.

mod bill;
mod fleet;
mod load;
mod planner;
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
use regionmesh_cost::{NoPrice, PlacementError, PriceFileError, PriceTableError, Prices};
use regionmesh_protocol::identity::IdentityError;
use run::Run;
use scenario::{PriceList, REGIONS};
use strategy::RegionChoice;

/// Most days of a replay: the tiers of egress prices begin anew with the month.
pub const DAYS_MAX: usize = 31;
/// Most seeds of a replay.
pub const SEEDS_MAX: usize = 1_000;

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file of the load can't be used.
    #[error("{file}, line {line}: {why}")]
    Load {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// No such days.
    #[error(
        "{given} days; expected {least} to {most}: some days after the warm-up, and no more than \
            were recorded"
    )]
    Days {
        /// That were asked for.
        given: usize,
        /// That are needed.
        least: usize,
        /// That there are.
        most: usize,
    },
    /// No seeds, or too many.
    #[error("{0} seeds; expected 1 to {SEEDS_MAX}")]
    Seeds(usize),
    /// The replay's own prices can't be read.
    #[error(transparent)]
    PriceFile(#[from] PriceFileError),
    /// The replay's own prices can't be used.
    #[error(transparent)]
    PriceTable(#[from] PriceTableError),
    /// A price is missing.
    #[error(transparent)]
    NoPrice(#[from] NoPrice),
    /// No nodes can be planned.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// Whole nodes don't fit the quota.
    #[error("more than {0} nodes of a region and pricing class are needed; lower the load factor")]
    Quota(u32),
    /// A name that is no name.
    #[error(transparent)]
    Name(#[from] IdentityError),
    /// A number that no bill has.
    #[error("the replay is too long or too dear to be added up; lower the load factor")]
    TooLarge,
}

/// What is replayed.
#[derive(Debug, Clone)]
pub struct Replay<'a> {
    /// The recorded rates.
    pub load: &'a Load,
    /// Prices of nodes and egress.
    pub prices: &'a Prices,
    /// How far regions are apart.
    pub trips: &'a RoundTrips,
    /// What is assumed.
    pub assumptions: &'a Assumptions,
    /// Days from the start of the record, the warm-up included.
    pub days: usize,
    /// Seeds of the spot markets.
    pub seeds: &'a [u64],
}

impl Replay<'_> {
    /// Runs strategies with all seeds: each where most callers are, and if `is_everywhere`, in all
    /// other regions too. The result depends on nothing but the input.
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
