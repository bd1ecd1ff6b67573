//! Deterministic simulations of the register and of recovery: the same seed always gives the same
//! run.

pub mod mesh;
pub mod random;
pub mod recovery;
pub mod register;
