//! When to wait for a cheaper source of a version.

use super::{
    effect::{Effect, Notice},
    replicator::Replication,
};
use crate::now::Now;
use regionmesh_protocol::{identity::RegionName, models::manifest::VersionSummary};
use std::time::Duration;

/// Smaller versions are fetched without waiting for a relay: their transfer costs less than a cent.
const RELAYED_MIN_BYTES: u64 = 64 << 20;
/// How fast a relay is expected to receive, bytes per second: 100 Mbit/s.
const RELAY_RATE: u64 = 12_500_000;
/// Time for a relay to learn of a version and to announce that it holds it.
const RELAY_START: Duration = Duration::from_secs(10);

/// How long to wait for a relay to receive `bytes`; at most `longest`.
fn relay_timeout(bytes: u64, longest: Duration) -> Duration {
    longest.min(RELAY_START.saturating_add(Duration::from_secs(bytes / RELAY_RATE)))
}

impl Replication {
    /// Whether to fetch a version later, from another region that is about to hold it and is
    /// cheaper.
    pub(super) fn waits_for_relay(
        &mut self,
        version: &VersionSummary,
        holders: &[RegionName],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let missing = self.fetches.missing_for(version, now.monotonic);
        let timeout = relay_timeout(version.size, self.settings.relay_wait);
        let may_wait = version.size >= RELAYED_MIN_BYTES && missing < timeout;
        let relay = if may_wait {
            let peers = self.peers.regions().cloned();
            self.view.relay(holders, peers, now.unix_ms)
        } else {
            None
        };

        let Some(relay) = relay else {
            if let Some(relay) = self.fetches.awaited.remove(version) {
                out.push(Effect::Notice(Notice::WaitedForRelay {
                    version: version.clone(),
                    is_relayed: holders.contains(&relay),
                    relay,
                }));
            }
            return false;
        };

        if self.fetches.awaited.get(version) != Some(&relay) {
            self.fetches.awaited.insert(version.clone(), relay.clone());
            out.push(Effect::Notice(Notice::WaitingForRelay {
                version: version.clone(),
                relay,
            }));
        }

        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_gets_time_in_proportion_to_the_bytes_up_to_the_limit() {
        let seconds = Duration::from_secs;
        assert_eq!(relay_timeout(RELAY_RATE * 5, seconds(120)), seconds(15));
        assert_eq!(relay_timeout(u64::MAX, seconds(120)), seconds(120));
        assert_eq!(relay_timeout(u64::MAX, Duration::ZERO), Duration::ZERO);
    }
}
