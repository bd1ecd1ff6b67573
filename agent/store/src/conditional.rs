//! Checks that a store can serve as a region's: it must honour conditional writes and store what it
//! acknowledged.
//!
//! The register and the commit of a version rest on put-if-absent. A store that ignores
//! `If-None-Match` (older MinIO, Ceph, some gateways) would silently lose acknowledged versions.

use crate::{
    OpenStore,
    fault::{StoreFault, cause},
};
use object_store::{
    Error as ObjectError, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    path::Path as ObjectPath,
};
use std::time::Duration;

/// Object names to try: after a lost reply, the retried request finds its own object.
const NAMES: usize = 2;

/// How the check ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The store can't be used.
    #[error(
        "the {what} ({place}) cannot be used: {why}. Use a store that supports conditional writes \
            (If-None-Match: *), for example S3, GCS, Azure Blob Storage or a current MinIO, or \
            update this one"
    )]
    Unfit {
        /// `region's store` or `witness`.
        what: &'static str,
        place: String,
        why: String,
    },
    /// The check could not be done now.
    #[error("{0}")]
    Away(StoreFault),
}

/// Checks a store by putting an object twice, within `timeout`. Records the outcome in the store's
/// health.
pub async fn check_conditional_writes(
    store: &OpenStore,
    what: &'static str,
    timeout: Duration,
) -> Result<(), CheckError> {
    let place = store.health.place().to_owned();
    let begin = std::time::Instant::now();
    let outcome = match tokio::time::timeout(timeout, find_out(&*store.unguarded)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let waited_ms = begin.elapsed().as_millis() as u64;
            Err(Finding::Away(
                store.health.fault(super::fault::Cause::Silent(waited_ms)),
            ))
        }
    };

    match outcome {
        Ok(()) => {
            store.health.found_fit();
            Ok(())
        }
        Err(Finding::Unfit(why)) => {
            store.health.found_unfit(why);
            Err(CheckError::Unfit {
                what,
                place,
                why: why.into(),
            })
        }
        Err(Finding::Away(fault)) => Err(CheckError::Away(fault)),
        Err(Finding::Failed(error)) => {
            let fault = StoreFault::of(&error).cloned();
            Err(CheckError::Away(
                fault.unwrap_or_else(|| store.health.fault(cause(&error))),
            ))
        }
    }
}

enum Finding {
    Unfit(&'static str),
    Away(StoreFault),
    Failed(ObjectError),
}

impl From<ObjectError> for Finding {
    fn from(error: ObjectError) -> Self {
        Self::Failed(error)
    }
}

async fn find_out(objects: &dyn ObjectStore) -> Result<(), Finding> {
    let create = |path: ObjectPath, text: &'static str| async move {
        let payload = PutPayload::from_static(text.as_bytes());
        objects
            .put_opts(&path, payload, PutMode::Create.into())
            .await
    };

    for _ in 0..NAMES {
        let path = ObjectPath::from(format!("probe/{:016x}", rand::random::<u64>()));
        match create(path.clone(), "first").await {
            Ok(_) => {}
            Err(ObjectError::AlreadyExists { .. }) => continue,
            Err(error) => return Err(error.into()),
        }

        let second = create(path.clone(), "second").await;
        let stored = match objects.get(&path).await {
            Ok(object) => Some(object.bytes().await?),
            Err(ObjectError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };

        // Leftovers are only a few bytes.
        let _ = objects.delete(&path).await;
        return match (second, stored) {
            (_, None) => Err(Finding::Unfit(
                "it acknowledges a write but does not store it",
            )),
            (Ok(_), Some(_)) => Err(Finding::Unfit(
                "it ignores If-None-Match: a conditional write replaced an existing object",
            )),
            (Err(ObjectError::AlreadyExists { .. }), Some(stored)) if &stored[..] == b"first" => {
                Ok(())
            }
            (Err(ObjectError::AlreadyExists { .. }), Some(_)) => Err(Finding::Unfit(
                "a conditional write that it refused changed the object nevertheless",
            )),
            (Err(error), _) => Err(error.into()),
        };
    }

    Err(Finding::Unfit(
        "a conditional write to a new name is refused as if the name were taken",
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_store_with_conditional_writes_passes_and_no_objects_remain() {
        let objects = Arc::new(InMemory::new());
        let store = OpenStore::of(objects.clone());
        store.health.require_check();
        assert!(store.health.obstacle().is_some());
        check_conditional_writes(&store, "region's store", Duration::from_secs(5))
            .await
            .unwrap();
        assert_eq!(store.health.obstacle(), None);

        let left = objects
            .list_with_delimiter(Some(&ObjectPath::from("probe")))
            .await
            .unwrap();

        assert!(left.objects.is_empty());
    }
}
