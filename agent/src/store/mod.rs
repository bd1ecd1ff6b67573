//! What the agent keeps: the register's slots in the region's object store, the last committed plan on disk.

pub mod committed_plan;
pub mod slots;
