//! Errors of a replay.

use regionmesh_cost::{NoPrice, PlacementError, PriceFileError, PriceTableError};
use regionmesh_protocol::identity::IdentityError;

/// Most days of a replay: tiers of egress prices start over every month.
pub const DAYS_MAX: usize = 31;

/// Most seeds of a replay.
pub const SEEDS_MAX: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The load file can't be used.
    #[error("{file}, line {line}: {why}")]
    Load {
        file: String,
        /// The line, from 1.
        line: usize,
        why: String,
    },
    /// Too few or too many days.
    #[error(
        "{given} days; expected {least} to {most}: the warm-up and at least one more day, all of \
            them recorded"
    )]
    Days {
        given: usize,
        /// The warm-up and one more.
        least: usize,
        /// Recorded days, at most [`DAYS_MAX`].
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
    /// The placement failed.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// Whole nodes don't fit the quota.
    #[error("more than {0} nodes of a region and pricing class are needed; lower the load factor")]
    Quota(u32),
    /// An invalid name.
    #[error(transparent)]
    Name(#[from] IdentityError),
    /// A sum overflowed.
    #[error("the replay is too long or too expensive to sum up; lower the load factor")]
    TooLarge,
}
