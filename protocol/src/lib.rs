//! What two RegionMesh agents must agree on.
//!
//! Everything here is pure: no IO, no tokio, no clock, no randomness of its own. Time and random
//! numbers are handed in, effects are handed out, so the same code runs in an agent and in the
//! simulator.
//!
//! Reading order: [`identity`] → [`wire`] → [`board`] → [`probe`] → [`verdict`] → [`plan`] →
//! [`register`] → [`members`] → [`manifest`].

pub mod alert;
pub mod ballots;
pub mod board;
pub mod chunking;
pub mod clock;
pub mod codec;
pub mod confirm;
pub mod conflict;
pub mod duty;
pub mod election;
pub mod endpoint;
pub mod event;
pub mod facts;
pub mod freeze;
pub mod gray;
pub mod headroom;
pub mod identity;
pub mod journal;
pub mod load;
pub mod manifest;
pub mod members;
pub mod money;
pub mod places;
pub mod plan;
pub mod probe;
pub mod problem;
pub mod proof;
pub mod proposer;
pub mod queue;
pub mod ramp;
pub mod register;
pub mod retry;
pub mod servability;
pub mod skew;
pub mod store_health;
pub mod text;
pub mod trial;
pub mod verdict;
pub mod wire;
