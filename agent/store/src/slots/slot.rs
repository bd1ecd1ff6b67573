//! A slot as an object: its name, its header and its tag.

use object_store::{ObjectMeta, path::Path};

/// Header of every slot. Change it with the layout: other layouts may decode to garbage.
pub(super) const LAYOUT: &[u8] = b"regionmesh slot 5\n";

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

/// The number in a slot's name; none for other objects.
pub(super) fn slot_number(path: &Path) -> Option<u64> {
    let name = path.filename()?;
    (name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| name.parse().ok())?
}
