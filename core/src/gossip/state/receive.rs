//! Entries that arrive: what is checked, and what is accepted.

use super::Board;
use crate::gossip::{
    delta::Delta,
    outcome::{Applied, Change, Rejection},
    signature::Verifier,
    urgency::is_urgent,
};
use regionmesh_protocol::{
    codec,
    identity::AgentId,
    status::{StatusEntry, entry::Entry},
};
use std::{collections::BTreeSet, time::Instant};

/// How arriving entries are judged.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// Checks certificates and signatures.
    pub verifier: &'a dyn Verifier,
    /// Agents known to be alive: never dropped to make room.
    pub alive: &'a BTreeSet<AgentId>,
    pub now: Instant,
}

impl Board {
    /// Accepts the valid entries of `delta`; never fails as a whole.
    pub fn apply(&mut self, delta: Delta, judge: Judge<'_>) -> Applied {
        let mut applied = Applied::default();
        let mut forgeries = 0;
        let mut ghost = None;

        for (index, entry) in delta.entries.into_iter().enumerate() {
            let owner = entry.owner.clone();
            let kind = entry.kind;
            let outcome =
                if index >= self.limits.delta_entries || forgeries >= self.limits.delta_forgeries {
                    Err(Rejection::Skipped)
                } else if entry.owner == self.own {
                    self.receive_own(&entry, &mut ghost, judge)
                        .map(|is_outranked| {
                            applied.is_outranked |= is_outranked;
                            None
                        })
                } else {
                    self.take(entry, judge)
                };

            match outcome {
                Ok(Some(is_urgent)) => applied.changes.push(Change {
                    owner,
                    kind,
                    is_urgent,
                }),
                Ok(None) => {}
                Err(reason) => {
                    forgeries += usize::from(matches!(
                        reason,
                        Rejection::BadSignature | Rejection::BadCertificate
                    ));
                    *applied.rejected.entry(reason).or_default() += 1;
                }
            }
        }

        applied
    }

    /// An entry of our own from a peer. Ours come back all the time, but one that is newer than any
    /// we made, with our valid signature, is from an earlier run with a later clock; returns
    /// whether it is. `ghost` is that run's certificate, which precedes the entries that it vouches
    /// for.
    fn receive_own(
        &mut self,
        entry: &Entry,
        ghost: &mut Option<Vec<Vec<u8>>>,
        judge: Judge<'_>,
    ) -> Result<bool, Rejection> {
        if entry.version <= self.floor {
            return Ok(false);
        }
        self.check_size(entry)?;
        if let StatusEntry::Certificate(chain) = decode_status(entry)? {
            self.check(entry, &chain, true, judge)?;
            *ghost = Some(chain);
        } else {
            let ours = self.owners.get(&self.own).map(|owner| &owner.chain);
            self.check(
                entry,
                ghost.as_ref().or(ours).ok_or(Rejection::NoCertificate)?,
                false,
                judge,
            )?;
        }

        self.floor = entry.version;
        Ok(true)
    }

    /// Takes an entry if it is news; returns whether that is urgent.
    fn take(&mut self, entry: Entry, judge: Judge<'_>) -> Result<Option<bool>, Rejection> {
        self.check_size(&entry)?;
        if self
            .tombstones
            .get(&entry.owner)
            .is_some_and(|stone| entry.version <= stone.newest)
        {
            return Err(Rejection::Forgotten);
        }

        let held = self.owners.get(&entry.owner);
        if let Some(held) = held {
            match held.entries.get(&entry.kind) {
                Some(older) if entry.version == older.entry.version => return Ok(None),
                Some(older) if entry.version < older.entry.version => return Err(Rejection::Stale),
                _ if entry.version < held.certified => return Err(Rejection::Stale),
                _ => {}
            }
        }

        let status_entry = decode_status(&entry)?;
        match (&status_entry, held) {
            (StatusEntry::Certificate(chain), _) => self.check(&entry, chain, true, judge)?,
            (_, None) => return Err(Rejection::NoCertificate),
            (_, Some(held)) => {
                let is_due = judge.now.saturating_duration_since(held.chain_checked_at)
                    >= self.limits.recheck_chain_after;
                self.check(&entry, &held.chain, is_due, judge)?;
                if is_due && let Some(held) = self.owners.get_mut(&entry.owner) {
                    held.chain_checked_at = judge.now;
                }
            }
        }

        let old = self.get(&entry.owner, entry.kind);
        let is_urgent = is_urgent(old.map(|held| &*held.status_entry), &status_entry);

        self.make_room(&entry, judge)?;
        self.hold(entry, status_entry, judge.now);
        Ok(Some(is_urgent))
    }

    fn check_size(&self, entry: &Entry) -> Result<(), Rejection> {
        // The longest signature of any key that rustls signs with: RSA with 4,096 bits has 512
        // bytes.
        const SIGNATURE_MAX: usize = 1024;

        let is_small = entry.payload.len() <= self.limits.entry_bytes
            && entry.signature.len() <= SIGNATURE_MAX;
        if is_small {
            Ok(())
        } else {
            Err(Rejection::TooLarge)
        }
    }

    fn check(
        &self,
        entry: &Entry,
        chain: &[Vec<u8>],
        with_chain: bool,
        judge: Judge<'_>,
    ) -> Result<(), Rejection> {
        if with_chain {
            judge
                .verifier
                .check_chain(&entry.owner, chain)
                .map_err(|_| Rejection::BadCertificate)?;
        }

        let message = Entry::signed_bytes(
            &self.mesh,
            &entry.owner,
            entry.kind,
            entry.version,
            &entry.payload,
        )
        .map_err(|_| Rejection::Malformed)?;

        judge
            .verifier
            .check_signature(chain, &message, &entry.signature)
            .map_err(|_| Rejection::BadSignature)
    }

    fn make_room(&mut self, entry: &Entry, judge: Judge<'_>) -> Result<(), Rejection> {
        loop {
            let replaced = self
                .get(&entry.owner, entry.kind)
                .map_or(0, |held| held.entry.size());
            let has_seat =
                self.owners.contains_key(&entry.owner) || self.owners.len() < self.limits.agents;

            if has_seat && self.bytes - replaced + entry.size() <= self.limits.total_bytes {
                return Ok(());
            }

            let dead_longest = self
                .owners
                .iter()
                .filter(|(name, _)| {
                    **name != self.own && **name != entry.owner && !judge.alive.contains(*name)
                })
                .min_by_key(|(_, held)| held.last_seen_at)
                .map(|(name, _)| name.clone());

            self.forget(&dead_longest.ok_or(Rejection::Full)?, judge.now);
        }
    }
}

fn decode_status(entry: &Entry) -> Result<StatusEntry, Rejection> {
    let status_entry: StatusEntry =
        codec::decode(&entry.payload).map_err(|_| Rejection::Malformed)?;
    if status_entry.kind() == entry.kind {
        Ok(status_entry.printable())
    } else {
        Err(Rejection::Malformed)
    }
}
