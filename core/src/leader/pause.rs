//! One failure, one plan: the addresses of a failing region are judged down one by one, and then
//! the region. A plan that changes only addresses waits a moment for what follows.

use regionmesh_protocol::plan::Plan;
use std::time::{Duration, Instant};

/// How long a change of addresses alone waits: the probes of one region's addresses are spread over
/// half a second.
const ADDRESS_PAUSE: Duration = Duration::from_millis(250);

/// How long a change of addresses has been waiting.
#[derive(Debug, Default)]
pub(super) struct AddressPause {
    since: Option<Instant>,
}

impl AddressPause {
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// The plan that is to be proposed now.
    pub(super) fn pass(
        &mut self,
        current: Option<&Plan>,
        next: Option<Plan>,
        now: Instant,
    ) -> Option<Plan> {
        let is_waiting = next
            .as_ref()
            .zip(current)
            .is_some_and(|(next, current)| next.differs_in_addresses_only(current));

        if is_waiting {
            let since = *self.since.get_or_insert(now);
            if now.saturating_duration_since(since) < ADDRESS_PAUSE {
                return None;
            }
        }
        self.since = None;
        next
    }
}
