//! Deterministic simulation of what must hold whatever the network does: one seed, one run, every
//! time the same.

pub mod random;
pub mod recovery;
pub mod register;
