//! The spend that is left as recommendations are applied one after the other. Each saving is what
//! the ledger falls by, so no replica is saved twice.

use super::{
    baselines::Fleet,
    state::{CurrentState, ModelCopy, RecommendError},
};
use crate::money::Amount;
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{ModelName, VersionName},
};
use std::collections::BTreeMap;

type CopyKey = (ModelName, VersionName, RegionName);

pub(super) struct Ledger {
    pub(super) fleet: Fleet,
    fleet_cost: Amount,
    copies: BTreeMap<CopyKey, ModelCopy>,
}

impl Ledger {
    pub(super) fn new(
        fleet: Fleet,
        fleet_cost: Amount,
        state: &CurrentState,
    ) -> Result<Self, RecommendError> {
        let mut copies = BTreeMap::new();
        for copy in &state.copies {
            if copy.storage < Amount::ZERO || copy.replication < Amount::ZERO {
                let what = format!("copies.{}.{}.{}", copy.model, copy.version, copy.region);
                return Err(RecommendError::Invalid {
                    what,
                    why: "a cost below zero; leave credits out".to_owned(),
                });
            }

            let key = (
                copy.model.clone(),
                copy.version.clone(),
                copy.region.clone(),
            );

            if copies.insert(key, copy.clone()).is_some() {
                let what = format!("copies.{}.{}.{}", copy.model, copy.version, copy.region);
                return Err(RecommendError::Invalid {
                    what,
                    why: "given twice; keep one entry".to_owned(),
                });
            }
        }

        Ok(Self {
            fleet,
            fleet_cost,
            copies,
        })
    }

    pub(super) fn total(&self) -> Amount {
        self.fleet_cost
            + self
                .copies
                .values()
                .map(|copy| copy.storage + copy.replication)
                .sum()
    }

    pub(super) fn fleet_cost(&self) -> Amount {
        self.fleet_cost
    }

    /// Another fleet runs.
    pub(super) fn adopt(&mut self, fleet: Fleet, cost: Amount) {
        self.fleet = fleet;
        self.fleet_cost = cost;
    }

    /// The fleet costs so much less.
    pub(super) fn save(&mut self, saved: Amount) {
        self.fleet_cost -= saved;
    }

    /// Deletes the copies of a version, in one region or all, and returns those that were still
    /// there.
    pub(super) fn delete(
        &mut self,
        model: &ModelName,
        version: &VersionName,
        region: Option<&RegionName>,
    ) -> Vec<ModelCopy> {
        let is_meant = |copy: &ModelCopy| {
            copy.model == *model
                && copy.version == *version
                && region.is_none_or(|region| copy.region == *region)
        };

        self.copies
            .extract_if(.., |_, copy| is_meant(copy))
            .map(|(_, copy)| copy)
            .collect()
    }

    /// The saving of relaying a copy; none if there is no copy or no saving.
    pub(super) fn relay(&mut self, key: &CopyKey, replication: Amount) -> Option<Amount> {
        let copy = self.copies.get_mut(key)?;
        let saved = copy.replication - replication;
        if saved <= Amount::ZERO {
            return None;
        }
        copy.replication = replication;
        Some(saved)
    }
}
