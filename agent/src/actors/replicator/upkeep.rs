//! Maintenance of the store: cleaning up after crashes, and finding versions that lost files.

use std::time::Instant;

/// When maintenance is due.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    pub(super) is_running: bool,
    pub(super) cleaned_at: Option<Instant>,
    pub(super) is_retrying: bool,
    pub(super) checked_at: Option<Instant>,
    pub(super) is_checking: bool,
}
