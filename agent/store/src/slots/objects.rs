//! The slots of an acceptor as objects of a store.

use super::{
    error::SlotError,
    slot::{LAYOUT, ObjectTag, slot_number},
};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};
use regionmesh_core::slots::{Input, Listing, Operation, Slot};
use regionmesh_protocol::codec::{self, CodecError};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

/// The highest slot: ten digits, so that names sort like numbers. One slot per second lasts 300
/// years.
const LAST_SLOT: u64 = 9_999_999_999;
/// Slots retained of one listing; older ones are left for the next compaction.
const LISTED_MAX: usize = 10_000;

/// How an operation ended.
pub(super) type Outcome = Input<ObjectTag, SlotError>;

/// The slots of one acceptor.
#[derive(Debug)]
pub(super) struct SlotObjects {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) folder: Path,
    /// `region` or `witness`.
    pub(super) acceptor: &'static str,
    /// For each single operation.
    pub(super) timeout: Duration,
}

impl SlotObjects {
    /// Carries out an operation of the protocol.
    pub(super) async fn run(&self, operation: Operation) -> Outcome {
        let outcome = match operation {
            Operation::List => self.list().await.map(Input::Listed),
            Operation::Get(number) => self.get(number).await.map(Input::Got),
            Operation::Put { number, slot } => self.put(number, &slot).await,
        };
        outcome.unwrap_or_else(Input::Failed)
    }

    async fn list(&self) -> Result<Listing<ObjectTag>, SlotError> {
        let listing = self.store.list(Some(&self.folder)).try_fold(
            BTreeMap::new(),
            |mut slots, meta| async move {
                slots.extend(
                    slot_number(&meta.location).map(|number| (number, ObjectTag::from(&meta))),
                );
                if slots.len() > LISTED_MAX {
                    slots.pop_first();
                }
                Ok(slots)
            },
        );

        Ok(Listing(self.within("list", &self.folder, listing).await?))
    }

    async fn get(&self, number: u64) -> Result<Option<Arc<Slot>>, SlotError> {
        let path = self.path(number);
        let bytes = async { self.store.get(&path).await?.bytes().await };
        let bytes = match self.within("get", &path, bytes).await {
            Ok(bytes) => bytes,
            Err(SlotError::Store {
                error: object_store::Error::NotFound { .. },
                ..
            }) => return Ok(None),
            Err(error) => return Err(error),
        };

        match bytes.strip_prefix(LAYOUT) {
            Some(body) => codec::decode(body)
                .map(|slot| Some(Arc::new(slot)))
                .map_err(|error| SlotError::Corrupt { path, error }),
            // Layout 1 had no header: it began with a writer's state.
            None if bytes.len() > LAYOUT.len() && !bytes.starts_with(b"regionmesh") => {
                Err(SlotError::OtherLayout {
                    acceptor: self.acceptor,
                    path,
                })
            }
            None => Err(SlotError::Corrupt {
                path,
                error: CodecError::Malformed("it does not begin as one".into()),
            }),
        }
    }

    async fn put(&self, number: u64, slot: &Slot) -> Result<Outcome, SlotError> {
        if number > LAST_SLOT {
            return Err(SlotError::Exhausted);
        }

        let path = self.path(number);
        let bytes = [LAYOUT, &codec::encode(slot).map_err(SlotError::Unwritable)?].concat();
        let payload = PutPayload::from(bytes);
        let put = self.store.put_opts(&path, payload, PutMode::Create.into());

        Ok(match self.within("create", &path, put).await {
            Ok(_) => Input::Stored,
            Err(SlotError::Store {
                error: object_store::Error::AlreadyExists { .. },
                ..
            }) => Input::Exists,
            Err(error) => Input::Unknown(error),
        })
    }

    /// Deletes old slots, in the background.
    pub(super) fn delete(&self, old: &[u64]) {
        let old: Vec<Path> = old.iter().map(|number| self.path(*number)).collect();
        let store = self.store.clone();
        let folder = self.folder.clone();
        let timeout = self.timeout;

        tokio::spawn(async move {
            let delete = async {
                for path in old {
                    match store.delete(&path).await {
                        // Another agent deleted it first.
                        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }

                Ok(())
            };

            match tokio::time::timeout(timeout * 10, delete).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(
                        %folder,
                        %error,
                        "old register slots are left for the next compaction"
                    );
                }
                Err(_) => {
                    tracing::debug!(
                        %folder,
                        "compaction of register slots timed out; the next one continues"
                    );
                }
            }
        });
    }

    pub(super) fn path(&self, number: u64) -> Path {
        self.folder.clone().join(format!("{number:010}"))
    }

    async fn within<T>(
        &self,
        action: &'static str,
        path: &Path,
        operation: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, SlotError> {
        let acceptor = self.acceptor;
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(SlotError::Store {
                acceptor,
                action,
                path: path.clone(),
                error,
            }),
            Err(_) => Err(SlotError::TimedOut {
                acceptor,
                action,
                path: path.clone(),
                timeout,
            }),
        }
    }
}
