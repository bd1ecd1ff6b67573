//! How far an acceptor may go.

use super::ballot::{Reach, Stamp};
use crate::plan::Plan;

/// What an acceptor's agent knows of the register: the acceptor goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// How far the acceptor may go, see
    /// `regionmesh_core::leader::ballots::KnownBallots::allowance`.
    pub allowance: Reach,
    /// The last value that the acceptors, when asked, had committed.
    pub decided: Option<(Stamp, Plan)>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            allowance: Reach::default().step(),
            decided: None,
        }
    }
}
