//! Who leads, and what a leader does: one agent's part in elections, plans and orders.
//!
//! [`Leader`] takes [`Input`]s and returns [`Effect`]s. [`election`] decides when to be a
//! candidate, [`proposer`] commits plans to the register, [`ballots`] and [`confirm`] decide what
//! to believe. DNS is written from committed plans only, which reach every agent through the board.
//!
//! `handle` is the entry, `due` says when it must be called without an input; `campaign` performs
//! what election and proposer ask for; `weighing` and `reading` judge what other agents claim
//! (`trust`); `plans`, `orders` and `member_orders` make the next plan, and `judging` decides about
//! other leaders' plans (`sightings`); `freezing`, `own_clock` and `publication` report what this
//! agent knows.

pub mod ballots;
mod board;
mod campaign;
pub mod certificate;
mod clocks;
pub mod confirm;
mod due;
pub mod election;
mod freezing;
mod handle;
mod judging;
mod member_change;
mod member_orders;
mod notice;
mod orders;
mod own_clock;
mod pause;
mod plan_clock;
mod plans;
pub mod proof;
pub mod proposer;
mod publication;
mod reading;
mod sightings;
mod state;
mod trust;
mod turn;
mod types;
mod weighing;

pub use notice::{ElectionNotice, Notice, OrderNotice, OrderOutcome, PlanNotice, RegisterNotice};
pub use plan_clock::PlanClock;
pub use state::Leader;
pub use types::{Contact, Effect, Input, LeaderView, Refusal, Settings, Start};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
