//! Brings the region's store up to what the other regions hold.

use super::{
    effect::{Effect, Notice},
    lack::{Lack, Wanted},
    offers::Offer,
    plan::SyncAction,
    replicator::Replication,
    settings::RETRY,
};
use crate::now::Now;
use regionmesh_protocol::{identity::AgentId, models::manifest::VersionSummary};
use std::sync::Arc;

impl Replication {
    /// Starts what is missing and not under way.
    pub(super) fn sync(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(lack) = self.lack() else { return };
        let missing = lack.wanted.iter().map(|wanted| wanted.version.clone());
        self.fetches.note_missing(&missing.collect(), now.monotonic);

        // Renames first: a conflicting version is moved before the winner is fetched.
        let must_wait = !lack.actions.is_empty();
        let unfinished = self.unfinished.iter().cloned().map(SyncAction::Delete);
        let actions = lack.actions.iter().cloned().chain(unfinished).collect();
        self.converge(actions, now, out);
        if must_wait {
            return;
        }

        for Wanted {
            version,
            holders,
            offers,
        } in &lack.wanted
        {
            let is_full = self.fetches.running_count() >= self.settings.parallel_versions;
            if is_full || !self.view.is_ours(&version.content.0) {
                continue;
            }

            let Some((offered, sources)) = self.choose(offers, now.unix_ms) else {
                continue;
            };
            if !self.waits_for_relay(version, holders, now, out) {
                self.fetches.start(offered, sources, now.monotonic, out);
            }
        }
    }

    /// Which manifest to fetch, and from whom: none while one is fetched, or while each is
    /// unreachable or has just failed.
    pub(super) fn choose(
        &self,
        offers: &[Offer],
        unix_ms: u64,
    ) -> Option<(VersionSummary, Vec<Vec<AgentId>>)> {
        let mut all = offers.iter();
        if all.any(|offer| self.fetches.is_running(&offer.version)) {
            return None;
        }

        let mut free = offers
            .iter()
            .filter(|offer| self.fetches.may_start(&offer.version));
        free.find_map(|offer| self.reachable(offer, unix_ms))
    }

    /// The offer and its sources, if any is connected.
    pub(super) fn reachable(
        &self,
        offer: &Offer,
        unix_ms: u64,
    ) -> Option<(VersionSummary, Vec<Vec<AgentId>>)> {
        let sources = self.view.sources(&offer.regions, unix_ms);
        (!sources.is_empty()).then(|| (offer.version.clone(), sources))
    }

    /// What the region lacks. Computed again only where a catalogue changed.
    fn lack(&mut self) -> Option<Arc<Lack>> {
        let own = &self.own.as_ref()?.catalogue;
        let changes = self.peers.changes;
        let is_known = |lack: &&Arc<Lack>| lack.is_of(own, changes);

        if let Some(lack) = self.lack.as_ref().filter(is_known) {
            return Some(lack.clone());
        }
        let lack = Arc::new(Lack::new(own, &self.peers));
        self.lack = Some(lack.clone());
        Some(lack)
    }

    /// Applies tombstones, aliases and renames, unless another agent of the region does or it is
    /// under way.
    fn converge(&mut self, actions: Vec<SyncAction>, now: Now, out: &mut Vec<Effect>) {
        let is_due = !self.is_converging && now.monotonic >= self.converge_after;
        if actions.is_empty() || !is_due || !self.view.is_ours(&[]) {
            return;
        }

        self.is_converging = true;
        out.push(Effect::Converge(actions));
    }

    pub(super) fn converge_ended(
        &mut self,
        outcome: Result<(), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.is_converging = false;
        if let Err(why) = outcome {
            out.push(Effect::Notice(Notice::ConvergeFailed(why)));
            self.converge_after = now.monotonic + RETRY;
        }

        self.catch_up(now, out);
    }

    pub(super) fn fetch_ended(
        &mut self,
        version: VersionSummary,
        outcome: Result<(), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        match outcome {
            Ok(()) => {
                self.fetches.succeeded(&version);
                self.release(version, out);
            }
            Err(why) => self.fetches.fail(version, why, now.monotonic, out),
        }

        self.catch_up(now, out);
    }
}
