//! The fence: a TXT record set that identifies the plan that the zone was written from.
//!
//! Every change batch deletes the fence that its writer read, value by value, and creates the next
//! one. Route 53 refuses a batch whose DELETE does not match exactly, as a whole, so a writer that
//! has not seen the latest fence changes nothing. A nonce makes every fence unique, so that even
//! two writers of the same plan can't both succeed.

use super::{
    records::{RecordSet, Routing},
    settings::Settings,
};
use regionmesh_protocol::register::ballot::Stamp;
use serde::Serialize;
use std::{collections::BTreeSet, fmt};

/// Longest character-string of a TXT record (RFC 1035 §3.3).
const STRING_MAX: usize = 255;
/// Prefix of the value that names the plan.
const VERSION: &str = "v1";
/// Prefix of a value that lists the regions whose own, simple record sets are ours: those carry no
/// set identifier.
const OWNS: &str = "owns";

/// The plan that the zone was written from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fence {
    /// Number of the plan's ballot; 0 for the first set-up.
    pub(crate) ballot: u64,
    /// Number of the plan.
    pub(crate) seq: u64,
    /// The writer: `<region>/<agent>`.
    pub(crate) agent: String,
    /// Random for each write.
    pub(crate) nonce: String,
    /// Labels of the regions whose own record sets are ours.
    pub(crate) owns: BTreeSet<String>,
}

/// The record set at the fence's name is not a fence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} TXT is not a fence of RegionMesh: {values:?}; remove it if nothing needs it")]
pub(crate) struct NoFence {
    /// Name of the record set.
    pub(crate) name: String,
    /// Its values, cut short.
    pub(crate) values: String,
}

impl Fence {
    /// The fence of a plan.
    pub(crate) fn new(stamp: &Stamp, nonce: String, owns: BTreeSet<String>) -> Self {
        Self {
            ballot: stamp.ballot.number,
            seq: stamp.seq,
            agent: stamp.ballot.agent.to_string(),
            nonce,
            owns,
        }
    }

    /// The plan's place in the order of plans. `seq` grows with every committed plan, across
    /// leaders.
    pub(crate) fn order(&self) -> (u64, u64) {
        (self.ballot, self.seq)
    }

    /// Whether a plan must not be written because a later one was.
    pub(crate) fn outranks(&self, stamp: &Stamp) -> bool {
        self.order() > (stamp.ballot.number, stamp.seq)
    }

    /// The record set.
    pub(crate) fn record(&self, settings: &Settings) -> RecordSet {
        let mut values = vec![self.to_string()];
        let mut list = OWNS.to_owned();
        for label in &self.owns {
            if list.len() + 1 + label.len() > STRING_MAX {
                values.push(std::mem::replace(&mut list, OWNS.to_owned()));
            }
            list.push(' ');
            list += label;
        }

        if list != OWNS {
            values.push(list);
        }
        RecordSet {
            name: settings.fence_name(),
            record_type: "TXT".into(),
            routing: Routing::Simple,
            // Clients don't resolve it; low, so that verification sees the latest fence.
            ttl_s: Some(settings.ttl_s),
            values: values
                .into_iter()
                .map(|text| format!("\"{text}\""))
                .collect(),
            health_check: None,
            has_other_parts: false,
        }
    }

    /// Parses a fence's record set.
    pub(crate) fn parse(record: &RecordSet) -> Result<Self, NoFence> {
        Self::read(record).ok_or_else(|| NoFence {
            name: record.name.clone(),
            values: record.values.join(" ").chars().take(200).collect(),
        })
    }

    fn read(record: &RecordSet) -> Option<Self> {
        if record.routing != Routing::Simple || record.has_other_parts {
            return None;
        }

        let mut fence = None;
        let mut owns = BTreeSet::new();
        for value in &record.values {
            let text = value.strip_prefix('"')?.strip_suffix('"')?;
            match text.split(' ').collect::<Vec<_>>()[..] {
                [VERSION, ballot, seq, agent, nonce] if fence.is_none() => {
                    fence = Some((
                        ballot.parse().ok()?,
                        seq.parse().ok()?,
                        agent.to_owned(),
                        nonce.to_owned(),
                    ));
                }
                [OWNS, ref labels @ ..] => {
                    owns.extend(labels.iter().map(|&label| label.to_owned()))
                }
                _ => return None,
            }
        }

        let (ballot, seq, agent, nonce) = fence?;
        Some(Self {
            ballot,
            seq,
            agent,
            nonce,
            owns,
        })
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{VERSION} {} {} {} {}",
            self.ballot, self.seq, self.agent, self.nonce
        )
    }
}
