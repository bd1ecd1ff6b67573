//! The catalogues of the other regions.

use super::{
    effect::{Effect, Notice},
    settings::RETRY,
    unknown::UnknownCatalogues,
    view::View,
};
use crate::now::Now;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::{
        catalogue::{Catalogue, Tombstone},
        digest::Digest,
        manifest::VersionSummary,
    },
    status::Holdings,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// Gateways are asked for a catalogue after this time: they have to read it first.
const PASSED_ON: Duration = Duration::from_secs(1);

/// The region's own catalogue.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) catalogue: Arc<Catalogue>,
    /// None where it is too large to be published.
    pub(super) digest: Option<Digest>,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    catalogues: BTreeMap<RegionName, (Digest, Arc<Catalogue>)>,
    /// Counts changes of the catalogues.
    pub(super) changes: u64,
    pub(super) unknown: UnknownCatalogues,
    /// When reading a region's catalogue last failed.
    failed: BTreeMap<RegionName, Instant>,
    /// Regions whose catalogue is being read: from whom, and what that agent announced.
    reading: BTreeMap<RegionName, (AgentId, Digest)>,
    /// What was read of what agents announced. Those of one region read its store at different
    /// times: what one of them announced before is no news after what another announced since.
    done: BTreeMap<AgentId, Digest>,
}

impl Peers {
    /// Reads the catalogue of each region whose digest differs from the known one.
    pub(super) fn ask(&mut self, view: &View, own: Option<&Own>, now: Now, out: &mut Vec<Effect>) {
        let mut living = BTreeSet::new();
        for (agent, status) in &view.board.agents {
            let Some(holdings) = status.holdings() else {
                continue;
            };
            if !status.is_alive || agent.region == view.own.region {
                continue;
            }

            living.insert(agent.region.clone());
            self.ask_agent(agent, holdings, own, view, now.monotonic, out);
        }

        let is_alive = |agent: &AgentId| view.board.agents.get(agent).is_some_and(|it| it.is_alive);
        self.done.retain(|agent, _| is_alive(agent));
        self.unknown.retain(&living);
    }

    fn ask_agent(
        &mut self,
        agent: &AgentId,
        holdings: &Holdings,
        own: Option<&Own>,
        view: &View,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let region = &agent.region;
        let Some(digest) = holdings.catalogue else {
            let why = "the region holds more than can be published";
            self.unknown.announced(region, false, now);
            self.unknown.failed(region, why.into());
            return;
        };

        if self.done.get(agent) == Some(&digest) {
            return;
        }
        let known = self.catalogues.get(region);
        if known.is_some_and(|(known, _)| *known == digest) {
            self.done.insert(agent.clone(), digest);
            return;
        }
        let was_known = known.is_some();

        // It holds the same as this region or a known one: no need to read it.
        if let Some(same) = self.catalogue_of(digest, own) {
            self.done.insert(agent.clone(), digest);
            self.unknown.learnt(region);
            self.remember(region.clone(), digest, same, out);
            return;
        }
        self.unknown.announced(region, was_known, now);

        let through = view.through();
        let failed = self.failed.get(region);
        let is_due = match failed {
            Some(at) => now.saturating_duration_since(*at) >= RETRY,
            None => through.is_empty() || self.unknown.is_older(region, PASSED_ON, now),
        };
        if is_due && !self.reading.contains_key(region) {
            let is_theirs = !through.is_empty() && failed.is_none();
            let announced = (agent.clone(), digest);
            self.reading.insert(region.clone(), announced);
            out.push(Effect::ReadCatalogue {
                region: region.clone(),
                digest,
                through,
                from: (!is_theirs).then(|| agent.clone()),
            });
        }
    }

    /// The known catalogue with this digest.
    fn catalogue_of(&self, digest: Digest, own: Option<&Own>) -> Option<Arc<Catalogue>> {
        let own = own
            .filter(|own| own.digest == Some(digest))
            .map(|own| own.catalogue.clone());

        own.or_else(|| {
            self.catalogues
                .values()
                .find(|(known, _)| *known == digest)
                .map(|(_, known)| known.clone())
        })
    }

    fn remember(
        &mut self,
        region: RegionName,
        digest: Digest,
        catalogue: Arc<Catalogue>,
        out: &mut Vec<Effect>,
    ) {
        let known = Effect::PeerCatalogue(region.clone(), digest, catalogue.clone());
        out.push(known);
        self.catalogues.insert(region, (digest, catalogue));
        self.changes += 1;
    }

    /// Reading a catalogue ended. Returns whether it is known now.
    pub(super) fn learnt(
        &mut self,
        region: RegionName,
        learnt: Result<(Digest, Arc<Catalogue>), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let asked = self.reading.remove(&region);
        match learnt {
            Ok((digest, catalogue)) => {
                // If it is another, it changed meanwhile, or another agent sent it.
                let asked = asked.filter(|(_, announced)| *announced == digest);
                self.done.extend(asked);
                self.failed.remove(&region);
                self.unknown.learnt(&region);
                self.remember(region, digest, catalogue, out);
                true
            }
            Err(why) => {
                out.push(Effect::Notice(Notice::CatalogueUnread {
                    region: region.clone(),
                    why: why.clone(),
                }));
                self.unknown.failed(&region, why);
                self.failed.insert(region, now.monotonic);
                false
            }
        }
    }

    /// Right after [`Peers::ask`]: whether every live region's catalogue is known. Does not wait
    /// for regions without a connection, nor for those whose catalogue can't be read once this
    /// region holds as much as another.
    pub(super) fn are_known(&self, view: &View) -> bool {
        let unknown: Vec<_> = self
            .unknown
            .regions()
            .into_iter()
            .filter(|region| view.is_connected(region))
            .collect();

        let is_unreadable = |region| self.unknown.is_unreadable(region);
        unknown.iter().all(is_unreadable) && self.are_vouched_for(unknown, view)
    }

    /// Whether regions whose catalogue was read vouch for the unknown ones, see
    /// [`Holdings::is_vouched_for`].
    fn are_vouched_for(&self, unknown: Vec<RegionName>, view: &View) -> bool {
        let others: Vec<_> = view
            .board
            .agents
            .iter()
            .filter(|(agent, status)| {
                status.is_alive && self.catalogues.contains_key(&agent.region)
            })
            .filter_map(|(agent, status)| Some((&agent.region, status.holdings()?)))
            .collect();
        let held = Holdings {
            unknown,
            ..Holdings::default()
        };

        held.is_vouched_for(&view.own.region, &others)
    }

    pub(super) fn regions(&self) -> impl Iterator<Item = &RegionName> {
        self.catalogues.keys()
    }

    pub(super) fn catalogues(&self) -> Vec<(RegionName, Arc<Catalogue>)> {
        self.catalogues
            .iter()
            .map(|(region, (_, catalogue))| (region.clone(), catalogue.clone()))
            .collect()
    }

    /// The regions that hold this version with this content, and how they know it.
    pub(super) fn holders(
        &self,
        version: &VersionSummary,
    ) -> impl Iterator<Item = (&RegionName, &VersionSummary)> {
        self.catalogues.iter().filter_map(|(region, (_, peer))| {
            let held = peer.version(&version.model, &version.version)?;
            (held.content == version.content).then_some((region, held))
        })
    }

    pub(super) fn tombstones(&self) -> impl Iterator<Item = &Tombstone> {
        self.catalogues
            .values()
            .flat_map(|(_, catalogue)| &catalogue.tombstones)
    }
}
