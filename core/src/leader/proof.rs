//! Used proofs of orders: an order counts once, within a bounded time.

use regionmesh_protocol::wire::{MAX_AGE_S, PeerRefusal};
use std::collections::BTreeMap;

/// Most orders remembered; each needed an operator's token, so no outsider can fill the memory.
pub(crate) const REMEMBERED_MAX: usize = 4_096;

/// The orders that an agent received recently.
#[derive(Debug, Clone, Default)]
pub struct UsedProofs {
    /// Nonces, and until when an order with them would be recent enough to be accepted again.
    used: BTreeMap<[u8; 16], u64>,
}

impl UsedProofs {
    /// Accepts an order whose proof was checked, unless it is too old or a repetition.
    pub fn take(&mut self, nonce: [u8; 16], sent_ms: u64, now_ms: u64) -> Result<(), PeerRefusal> {
        let max_age_ms = MAX_AGE_S * 1_000;
        self.used.retain(|_, until_ms| *until_ms >= now_ms);
        if now_ms.abs_diff(sent_ms) > max_age_ms {
            let age_s = i64::try_from(now_ms.abs_diff(sent_ms) / 1_000).unwrap_or(i64::MAX);
            return Err(PeerRefusal::Stale(if sent_ms > now_ms {
                -age_s
            } else {
                age_s
            }));
        }

        if self.used.contains_key(&nonce) || self.used.len() >= REMEMBERED_MAX {
            return Err(PeerRefusal::Replayed);
        }
        self.used.insert(nonce, sent_ms.saturating_add(max_age_ms));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
