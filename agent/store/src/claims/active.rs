//! The claims that writers of this process hold.

use object_store::path::Path as ObjectPath;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// The paths of the held claims. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActiveClaims(Arc<Mutex<BTreeMap<ObjectPath, usize>>>);

impl ActiveClaims {
    pub(crate) fn begin(&self, path: &ObjectPath) -> ActiveClaim {
        // Counted, since two writers may try to create the same generation.
        *self.0.lock().entry(path.clone()).or_default() += 1;
        ActiveClaim {
            all: self.clone(),
            path: path.clone(),
        }
    }

    pub(crate) fn contains(&self, path: &ObjectPath) -> bool {
        self.0.lock().contains_key(path)
    }
}

/// One active claim; ends when dropped.
#[derive(Debug)]
pub(crate) struct ActiveClaim {
    all: ActiveClaims,
    path: ObjectPath,
}

impl Drop for ActiveClaim {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        match all.get_mut(&self.path) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(all.remove(&self.path)),
        }
    }
}
