//! What applies if two regions changed the same thing: versions, aliases, deletions.

mod plan;

pub use plan::{SyncAction, conflict_name, name_winner, plan_sync};
