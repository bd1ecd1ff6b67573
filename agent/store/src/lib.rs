//! What an agent stores: models and the register's slots in the region's object store, and the last
//! committed plans on disk.
//!
//! Reading order: `open` and `opened` (what a store is) → `models` (what it holds) → `commit`,
//! `claims` and `metadata` (how that changes) → `slots` (the register's acceptor) → `monitor`.

mod changes;
mod claims;
mod clean;
mod commit;
mod committed_plan;
mod conditional;
mod fault;
mod health;
mod history;
mod metadata;
mod models;
mod monitor;
mod multipart;
mod open;
mod opened;
mod settings;
mod slots;
mod staging;
mod verify;
mod watched;

pub use committed_plan::{SavedPlan, load_committed_plan, save_committed_plan};
pub use conditional::{CheckError, check_conditional_writes};
pub use history::{History, PastPlan, read_history};
pub use models::ModelStore;
pub use monitor::{CHECK_TIMEOUT, MonitorArguments, MonitoredStore, StoreMetrics, run_monitor};
pub use open::{OpenError, open};
pub use opened::{OpenStore, Owner};
pub use settings::Settings;
pub use slots::{Judge, SlotMetrics, SlotStore};
