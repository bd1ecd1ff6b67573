//! What RegionMesh is measured by. `figures` measures real meshes on this machine beside other
//! programs; `cost_replay` replays recorded load and compares what a mesh costs with what others
//! do.

mod replay;
pub use replay::{
    Assumptions, Bill, Callers, Candidate, DAYS_MAX, Goal, Load, Outcome, Range, Replay,
    ReplayError, Report, RoundTrips, SEEDS_MAX, Sensitivity, SpotProcess, Strategy, Variant,
    replay_prices, sensitivity,
};
