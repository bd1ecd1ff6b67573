//! What two RegionMesh agents must agree on.
//!
//! Everything here is pure: no IO, no tokio, no clock, no randomness. Callers pass in time and
//! random numbers and carry out the effects, so the same code runs in an agent and in the
//! simulator.
//!
//! Reading order: [`identity`] → [`wire`] → [`status`] → [`plan`] → [`register`] → [`models`].

pub mod clock;
pub mod codec;
pub mod event;
pub mod identity;
pub mod models;
pub mod plan;
pub mod register;
pub mod schema;
pub mod status;
pub mod text;
pub mod wire;
