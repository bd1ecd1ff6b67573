//! Plans change batches from the difference between wanted and existing record sets. Pure.
//!
//! A record set is ours if it has the service's name and a set identifier of ours, or is the simple
//! set of a region that the fence lists. Everything else in the zone is foreign and never changed;
//! if it blocks our record sets, nothing is written at all.

use super::{
    fence::{Fence, NoFence},
    records::RecordSet,
    settings::{Settings, is_own_identifier},
    wanted::{NothingServes, wanted},
};
use crate::providers::Difference;
use regionmesh_protocol::{identity::RegionName, plan::CommittedPlan};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

/// Most resource records in one batch; those of an UPSERT count twice.
pub(crate) const BATCH_RECORDS_MAX: usize = 1_000;
/// Most characters of values in one batch; those of an UPSERT count twice.
pub(crate) const BATCH_CHARACTERS_MAX: usize = 32_000;

/// What happens to a record set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Action {
    /// It must not exist.
    Create,
    /// It must exist exactly like this.
    Delete,
    /// It is created or replaced.
    Upsert,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) set: RecordSet,
}

/// Changes that are applied together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Batch {
    /// The changes, the fence's first.
    pub(crate) changes: Vec<Change>,
    /// The fence after this batch.
    pub(crate) fence: Fence,
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ZonePlan {
    /// The fence that was read.
    pub(crate) fence: Option<Fence>,
    /// Record sets that differ.
    pub(crate) differences: Vec<Difference>,
    /// Whether the zone was written from this very plan: then differences come from another writer
    /// or a changed configuration.
    pub(crate) is_drift: bool,
    /// What an operator should look at.
    pub(crate) notes: Vec<String>,
    /// The batches, in order; empty if nothing is to be changed.
    pub(crate) batches: Vec<Batch>,
}

/// Why nothing may be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A later plan was written already.
    #[error("the zone was written from a later plan: its fence says ballot {}, plan {} by \
        {}", .found.ballot, .found.seq, .found.agent)]
    Fenced {
        /// The fence in the zone.
        found: Box<Fence>,
    },
    /// Another record set is where the fence should be.
    #[error(transparent)]
    NoFence(#[from] NoFence),
    /// Foreign record sets are where ours should be.
    #[error("record sets that RegionMesh did not make are in the way: {}; remove or rename \
        them", .0.join(", "))]
    Occupied(Vec<String>),
    /// The plan has nothing to write.
    #[error(transparent)]
    NothingServes(#[from] NothingServes),
    /// One group of record sets is more than a batch may hold.
    #[error(
        "{name} needs {records} records of {characters} characters in one batch, more than Route \
            53 takes; use fewer addresses"
    )]
    TooLarge {
        /// Name and type.
        name: String,
        /// Resource records.
        records: usize,
        /// Characters of values.
        characters: usize,
    },
}

/// Compares the zone with the plan. `checks` are the regions' health checks; `nonce` is called once
/// for each batch.
pub(crate) fn plan_zone(
    settings: &Settings,
    committed: &CommittedPlan,
    found: &[RecordSet],
    checks: &BTreeMap<RegionName, String>,
    mut nonce: impl FnMut() -> String,
) -> Result<ZonePlan, Refusal> {
    let fence = read_fence(settings, found)?;
    let fence_set = fence_record(settings, found).cloned();
    if let Some(found) = fence
        .as_ref()
        .filter(|fence| fence.outranks(&committed.stamp))
    {
        return Err(Refusal::Fenced {
            found: Box::new(found.clone()),
        });
    }

    let wanted = wanted(settings, committed, checks)?;
    let owns = fence
        .as_ref()
        .map(|fence| fence.owns.clone())
        .unwrap_or_default();
    let (own, foreign): (Vec<_>, Vec<_>) =
        found.iter().partition(|set| is_own(settings, &owns, set));
    let mut notes = foreign_sets(&wanted, &foreign)?;

    let Comparison {
        differences,
        groups,
    } = compare(&wanted, &own, &mut notes);
    let labels = wanted
        .iter()
        .filter_map(|set| settings.region_label(&set.name))
        .map(str::to_owned)
        .collect();
    let is_drift = fence
        .as_ref()
        .is_some_and(|fence| fence.order() == (committed.stamp.ballot.number, committed.stamp.seq));
    let is_done = differences.is_empty() && is_drift && owns == labels;

    let batches = if is_done {
        Vec::new()
    } else {
        let mut chain = Chain {
            settings,
            committed,
            fence_set,
            owns,
            batches: Vec::new(),
        };

        chain.write(groups, labels, &mut nonce)?;
        chain.batches
    };

    Ok(ZonePlan {
        fence,
        differences,
        is_drift,
        notes,
        batches,
    })
}

/// Changes by name and type: those of one group go into one batch.
type Groups = BTreeMap<(String, String), Vec<Change>>;

/// How the zone differs from the plan.
struct Comparison {
    differences: Vec<Difference>,
    groups: Groups,
}

fn compare(wanted: &[RecordSet], own: &[&RecordSet], notes: &mut Vec<String>) -> Comparison {
    let mut groups = Groups::new();
    let mut differences = Vec::new();
    for (wanted, found) in pair(wanted, own) {
        let Some(set) = wanted.or(found) else {
            continue;
        };
        if wanted.is_none() && set.has_other_parts {
            notes.push(format!(
                "{set} was made by RegionMesh and changed by another writer; remove it by hand"
            ));
            continue;
        }

        let changes = changes(wanted, found);
        if changes.is_empty() {
            continue;
        }
        differences.push(Difference {
            record: set.to_string(),
            wanted: wanted.map(RecordSet::content),
            found: found.map(RecordSet::content),
        });

        groups
            .entry((set.name.clone(), set.record_type.clone()))
            .or_default()
            .extend(changes);
    }

    Comparison {
        differences,
        groups,
    }
}

/// The fence among the record sets of a zone.
pub(crate) fn read_fence(
    settings: &Settings,
    found: &[RecordSet],
) -> Result<Option<Fence>, NoFence> {
    fence_record(settings, found).map(Fence::parse).transpose()
}

fn fence_record<'a>(settings: &Settings, found: &'a [RecordSet]) -> Option<&'a RecordSet> {
    let name = settings.fence_name();
    found
        .iter()
        .find(|set| set.name == name && set.record_type == "TXT")
}

fn is_own(settings: &Settings, owns: &BTreeSet<String>, set: &RecordSet) -> bool {
    if !matches!(set.record_type.as_str(), "A" | "AAAA") {
        return false;
    }

    match set.routing.identifier() {
        Some(id) => set.name == settings.service_name() && is_own_identifier(id),
        None => settings
            .region_label(&set.name)
            .is_some_and(|label| owns.contains(label)),
    }
}

/// Foreign record sets at our names. An error if one blocks ours, else a note for each that shares
/// our traffic.
fn foreign_sets(wanted: &[RecordSet], foreign: &[&RecordSet]) -> Result<Vec<String>, Refusal> {
    let mut occupied = BTreeSet::new();
    let mut notes = BTreeSet::new();
    for other in foreign {
        let Some(ours) = wanted.iter().find(|set| set.name == other.name) else {
            continue;
        };
        let same_type = wanted
            .iter()
            .filter(|set| set.name == other.name && set.record_type == other.record_type);

        // A CNAME excludes all other records of its name (RFC 1034 §3.6.2).
        let is_blocking = other.record_type == "CNAME"
            || same_type.clone().any(|set| {
                !set.routing.is_same_policy(&other.routing)
                    || set.routing.takes_the_place_of(&other.routing)
            });

        if is_blocking {
            occupied.insert(other.to_string());
        } else if same_type.clone().next().is_some() {
            notes.insert(format!(
                "{other} is not RegionMesh's and takes part of the traffic of {}",
                ours.name
            ));
        }
    }

    if occupied.is_empty() {
        Ok(notes.into_iter().collect())
    } else {
        Err(Refusal::Occupied(occupied.into_iter().collect()))
    }
}

type Pair<'a> = (Option<&'a RecordSet>, Option<&'a RecordSet>);

/// Each wanted set with the existing set of the same key, then the existing sets that are not
/// wanted.
fn pair<'a>(wanted: &'a [RecordSet], own: &[&'a RecordSet]) -> Vec<Pair<'a>> {
    let find = |set: &RecordSet| own.iter().find(|found| found.key() == set.key()).copied();
    let known: BTreeSet<_> = wanted.iter().map(RecordSet::key).collect();
    let leftover = own
        .iter()
        .filter(|set| !known.contains(&set.key()))
        .map(|&set| (None, Some(set)));

    wanted
        .iter()
        .map(|set| (Some(set), find(set)))
        .chain(leftover)
        .collect()
}

fn changes(wanted: Option<&RecordSet>, found: Option<&RecordSet>) -> Vec<Change> {
    let change = |action, set: &RecordSet| Change {
        action,
        set: set.clone(),
    };

    match (wanted, found) {
        (Some(wanted), Some(found)) if wanted.is_same(found) => Vec::new(),
        (Some(wanted), Some(found))
            if wanted.routing.differs_by_weight_at_most(&found.routing)
                || found.has_other_parts =>
        {
            vec![change(Action::Upsert, wanted)]
        }
        // Roles and policies can't be swapped one by one: delete all, then create all.
        (Some(wanted), Some(found)) => vec![
            change(Action::Delete, found),
            change(Action::Create, wanted),
        ],
        (Some(wanted), None) => vec![change(Action::Create, wanted)],
        (None, Some(found)) => vec![change(Action::Delete, found)],
        (None, None) => Vec::new(),
    }
}

/// Records and characters that count towards the batch limits.
pub(crate) fn cost(change: &Change) -> (usize, usize) {
    let factor = if change.action == Action::Upsert {
        2
    } else {
        1
    };
    let characters: usize = change
        .set
        .values
        .iter()
        .map(|value| value.chars().count())
        .sum();

    (change.set.values.len().max(1) * factor, characters * factor)
}

fn total(changes: &[Change]) -> (usize, usize) {
    changes
        .iter()
        .map(cost)
        .fold((0, 0), |(records, characters), (r, c)| {
            (records + r, characters + c)
        })
}

/// Batches, each of which takes the fence over from the one before.
struct Chain<'a> {
    settings: &'a Settings,
    committed: &'a CommittedPlan,
    /// The fence's record set exactly as found: its TTL may come from another configuration.
    fence_set: Option<RecordSet>,
    owns: BTreeSet<String>,
    batches: Vec<Batch>,
}

impl Chain<'_> {
    fn write(
        &mut self,
        groups: Groups,
        labels: BTreeSet<String>,
        nonce: &mut impl FnMut() -> String,
    ) -> Result<(), Refusal> {
        // Until the last batch both the old and the new labels are ours, so that a writer can
        // resume after a crash.
        let all: BTreeSet<_> = self.owns.union(&labels).cloned().collect();
        // Largest size of two fences, with every label in both.
        let widest =
            Fence::new(&self.committed.stamp, "0".repeat(32), all.clone()).record(self.settings);
        let fences = total(&[
            Change {
                action: Action::Delete,
                set: widest.clone(),
            },
            Change {
                action: Action::Create,
                set: widest,
            },
        ]);

        let limit = (
            BATCH_RECORDS_MAX.saturating_sub(fences.0),
            BATCH_CHARACTERS_MAX.saturating_sub(fences.1),
        );
        let mut pending: Vec<Change> = Vec::new();

        for ((name, record_type), mut group) in groups {
            group.sort_by_key(|change| change.action != Action::Delete);
            let (records, characters) = total(&group);
            if records > limit.0 || characters > limit.1 {
                return Err(Refusal::TooLarge {
                    name: format!("{name} {record_type}"),
                    records,
                    characters,
                });
            }

            let (before, length) = total(&pending);
            if before + records > limit.0 || length + characters > limit.1 {
                let full = mem::take(&mut pending);
                self.push(full, all.clone(), nonce());
            }

            pending.extend(group);
        }

        self.push(pending, labels, nonce());
        Ok(())
    }

    fn push(&mut self, records: Vec<Change>, owns: BTreeSet<String>, nonce: String) {
        let fence = Fence::new(&self.committed.stamp, nonce, owns);
        let next = fence.record(self.settings);
        let old = self.fence_set.replace(next.clone()).map(|set| Change {
            action: Action::Delete,
            set,
        });
        let new = Change {
            action: Action::Create,
            set: next,
        };

        self.batches.push(Batch {
            changes: old.into_iter().chain([new]).chain(records).collect(),
            fence,
        });
    }
}
