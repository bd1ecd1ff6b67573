//! The work of one process.

use super::{context::Context, work::Work};
use regionmesh_protocol::identity::AgentId;
use std::collections::BTreeMap;

/// The work of one process.
pub(crate) struct Models {
    pub(super) context: Context,
    pub(super) running: BTreeMap<u64, Work>,
    pub(super) begun: u64,
    pub(super) had_leftovers: bool,
}

impl Models {
    /// For an agent that has not started.
    pub(crate) fn new(id: AgentId) -> Self {
        Self {
            context: Context::new(id, 0, BTreeMap::new()),
            running: BTreeMap::new(),
            begun: 0,
            had_leftovers: false,
        }
    }

    /// Whether a user waits for a publication.
    pub(crate) fn is_publishing(&self) -> bool {
        self.context.with(|it| !it.announced.is_empty())
    }

    /// Ends all work, with the process.
    pub(crate) fn stop(&mut self) {
        self.running.clear();
    }

    /// Starts again with a new process. Files of interrupted fetches are kept with the disk.
    pub(crate) fn start(&mut self, id: AgentId, boot: u32, has_disk: bool) {
        let mut staging = self.context.with(|it| std::mem::take(&mut it.staging));
        if !has_disk {
            staging.clear();
        }
        self.context = Context::new(id, boot, staging);
        self.running.clear();
        self.had_leftovers = false;
    }
}
