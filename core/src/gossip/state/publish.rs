//! Our own entries: published, signed, and signed again after a rotation.

use super::Board;
use crate::gossip::{outcome::PublishError, signature::Signer};
use regionmesh_protocol::{
    codec,
    status::{StatusEntry, StatusKind, entry::Entry},
};
use std::time::Instant;

impl Board {
    /// Puts `status_entry` into our own entry of its kind; returns whether the board changed. A
    /// status equal to the held one changes nothing, except for observations: their age says
    /// whether the observer still probes. If the signer's chain is not the one on the board, the
    /// certificate is published first and everything is signed again.
    pub fn publish(
        &mut self,
        status_entry: StatusEntry,
        signer: &dyn Signer,
        now: Instant,
    ) -> Result<bool, PublishError> {
        let is_recertified = self.certify(signer, now)?;
        let kind = status_entry.kind();
        if kind == StatusKind::Certificate {
            return Ok(is_recertified);
        }

        let is_equal = self
            .get(&self.own, kind)
            .is_some_and(|held| *held.status_entry == status_entry);
        if is_equal && kind != StatusKind::Observations {
            return Ok(is_recertified);
        }
        self.sign_and_store(status_entry, signer, now)?;
        Ok(true)
    }

    /// Publishes the signer's chain and signs all our entries again, unless the board has that
    /// chain already; returns whether it did.
    pub fn certify(&mut self, signer: &dyn Signer, now: Instant) -> Result<bool, PublishError> {
        let chain = signer.chain();
        if self
            .owners
            .get(&self.own)
            .is_some_and(|owner| owner.chain == chain)
        {
            return Ok(false);
        }

        self.sign_again(signer, now)?;
        Ok(true)
    }

    /// Signs all our entries again with newer versions, the certificate first: after a rotation, or
    /// when outranked.
    pub fn sign_again(&mut self, signer: &dyn Signer, now: Instant) -> Result<(), PublishError> {
        let statuses: Vec<StatusEntry> = self
            .entries(&self.own)
            .filter(|held| held.entry.kind != StatusKind::Certificate)
            .map(|held| (*held.status_entry).clone())
            .collect();

        self.sign_and_store(StatusEntry::Certificate(signer.chain()), signer, now)?;
        statuses
            .into_iter()
            .try_for_each(|status_entry| self.sign_and_store(status_entry, signer, now))
    }

    fn sign_and_store(
        &mut self,
        status_entry: StatusEntry,
        signer: &dyn Signer,
        now: Instant,
    ) -> Result<(), PublishError> {
        let kind = status_entry.kind();
        let payload =
            codec::encode(&status_entry).map_err(|source| PublishError::Encode { kind, source })?;

        if payload.len() > self.limits.entry_bytes {
            return Err(PublishError::TooLarge {
                kind,
                size: payload.len(),
                limit: self.limits.entry_bytes,
            });
        }

        let version = self.floor.next();
        let message = Entry::signed_bytes(&self.mesh, &self.own, kind, version, &payload)
            .map_err(|source| PublishError::Encode { kind, source })?;
        let signature = signer
            .sign(&message)
            .map_err(|why| PublishError::Sign { kind, why })?;

        self.floor = version;
        self.hold(
            Entry {
                owner: self.own.clone(),
                kind,
                version,
                payload,
                signature,
            },
            status_entry,
            now,
        );

        Ok(())
    }
}
