//! The content of a slot, and its entry in a listing.

use object_store::{ObjectMeta, path::Path};
use regionmesh_protocol::register::acceptor::AcceptorState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Header of every slot. Change it with the layout: other layouts may decode to garbage.
pub(super) const LAYOUT: &[u8] = b"regionmesh slot 5\n";

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slot {
    /// None if the acceptor's state was lost or never existed; the next slot begins a new one.
    pub(super) state: Option<AcceptorState>,
    pub(super) mark: Mark,
    /// The mark of the preceding slot.
    pub(super) after: Option<Mark>,
}

/// Unique to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Random, drawn when the writer starts.
    pub(super) writer: u64,
    /// The writer's count of writes.
    pub(super) write: u64,
}

/// ETag, modification time and size of an object: different for each put of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectTag(Option<String>, i64, u64);

impl From<&ObjectMeta> for ObjectTag {
    fn from(meta: &ObjectMeta) -> Self {
        Self(
            meta.e_tag.clone(),
            meta.last_modified.timestamp_micros(),
            meta.size,
        )
    }
}

/// The slots found by a listing.
#[derive(Debug, Default)]
pub(super) struct Listing(pub(super) BTreeMap<u64, ObjectTag>);

impl Listing {
    /// The highest slot; 0 if none exists.
    pub(super) fn newest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The two newest slots, the older first.
    pub(super) fn pair(&self) -> Option<(ObjectTag, ObjectTag)> {
        let newest = self.newest();
        let before = self.0.get(&newest.checked_sub(1)?)?;
        Some((before.clone(), self.0.get(&newest)?.clone()))
    }
}

/// The number in a slot's name; none for other objects.
pub(super) fn slot_number(path: &Path) -> Option<u64> {
    let name = path.filename()?;
    (name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| name.parse().ok())?
}
