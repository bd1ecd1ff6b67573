//! Who leads, and how a leader commits plans to the register.

pub mod ballots;
pub mod certificate;
pub mod confirm;
pub mod election;
pub mod proof;
pub mod proposer;
