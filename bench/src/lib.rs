//! Benchmarks. `figures` measures real meshes on this machine and compares them with other
//! programs; `cost_replay` replays recorded load and compares the cost of a mesh with that of other
//! deployments.

mod replay;
pub use replay::{
    Assumptions, Bill, Callers, Candidate, DAYS_MAX, Goal, Load, Outcome, Range, Replay,
    ReplayError, Report, RoundTrips, SEEDS_MAX, Sensitivity, SpotProcess, Strategy, Variant,
    replay_prices, sensitivity,
};
