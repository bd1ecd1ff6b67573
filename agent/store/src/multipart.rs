//! Multipart uploads, recorded in the store so that those of a crashed agent can be aborted.
//!
//! Parts of an upload that was neither completed nor aborted are invisible but billed. So an
//! upload's id is put at `uploads/<agent>/<number>` before its first part is sent, and removed
//! after its end. Uploads happen only under the claim of their version: a record without a live
//! claim is a leftover.

use crate::{
    OpenStore, Owner,
    fault::model_error,
    health::StoreHealth,
    models::{ModelStore, object},
};
use bytes::BytesMut;
use futures::{StreamExt, stream::FuturesOrdered};
use object_store::{
    Error as ObjectError, ObjectStoreExt, PutMode, PutPayload,
    multipart::{MultipartStore, PartId},
    path::Path as ObjectPath,
};
use regionmesh_core::health::store::Access;
use regionmesh_protocol::models::manifest::{ModelName, VersionName};
use regionmesh_runtime::models::ModelError;
use std::{path::Path, sync::Arc};
use tokio::io::AsyncReadExt;

/// Size of a part, bytes: 10,000 parts, the smallest limit among the clouds, then carry 160 GB.
/// Smaller files are put in one request.
pub(crate) const PART: usize = 16 << 20;
/// Parts in flight.
const PARTS_AT_ONCE: usize = 4;

/// The content of a record, one field per line.
struct Record {
    boot: u64,
    path: ObjectPath,
    id: String,
}

impl Record {
    fn write(&self) -> String {
        format!("{:016x}\n{}\n{}", self.boot, self.path, self.id)
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.splitn(3, '\n');
        let boot = u64::from_str_radix(lines.next()?, 16).ok()?;
        let path = ObjectPath::parse(lines.next()?).ok()?;

        Some(Self {
            boot,
            path,
            id: lines.next()?.to_owned(),
        })
    }

    /// The version that the upload belongs to.
    fn version(&self) -> Option<(ModelName, VersionName)> {
        let parts: Vec<_> = self.path.parts().collect();
        let [_, model, version, ..] = &parts[..] else {
            return None;
        };

        Some((
            ModelName::new(model.as_ref()).ok()?,
            VersionName::new(version.as_ref()).ok()?,
        ))
    }
}

/// An upload in progress.
struct Upload<'a> {
    parts: &'a Arc<dyn MultipartStore>,
    health: &'a StoreHealth,
    path: &'a ObjectPath,
    id: String,
}

impl Upload<'_> {
    async fn send(&self, file: &mut tokio::fs::File, staged: &Path) -> Result<(), ModelError> {
        let mut sending = FuturesOrdered::new();
        let mut sent: Vec<PartId> = Vec::new();
        let write = |error| model_error("write", self.path, &error);

        for index in 0.. {
            let block = read_part(file, staged).await?;
            if block.is_empty() {
                break;
            }

            let part = self
                .parts
                .put_part(self.path, &self.id, index, block.freeze().into());
            sending.push_back(self.health.observe(Access::Write, Some(self.path), part));

            if sending.len() >= PARTS_AT_ONCE
                && let Some(part) = sending.next().await
            {
                sent.push(part.map_err(write)?);
            }
        }

        while let Some(part) = sending.next().await {
            sent.push(part.map_err(write)?);
        }

        let complete = self.parts.complete_multipart(self.path, &self.id, sent);
        self.health
            .observe(Access::Write, Some(self.path), complete)
            .await
            .map(drop)
            .map_err(write)
    }

    /// An upload that no longer exists counts as aborted.
    async fn abort(&self) -> Result<(), ModelError> {
        let abort = self.parts.abort_multipart(self.path, &self.id);
        match self
            .health
            .observe(Access::Write, Some(self.path), abort)
            .await
        {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(model_error("abort the upload of", self.path, &error)),
        }
    }
}

/// The next part of the file, full-sized unless it is the last; empty at the end.
pub(crate) async fn read_part(
    file: &mut tokio::fs::File,
    staged: &Path,
) -> Result<BytesMut, ModelError> {
    let mut block = BytesMut::with_capacity(PART);
    while block.len() < PART {
        let left = PART - block.len();
        let mut rest = (&mut *file).take(left as u64);
        let read = rest
            .read_buf(&mut block)
            .await
            .map_err(|error| ModelError::io("read", staged, error))?;

        if read == 0 {
            break;
        }
    }

    Ok(block)
}

/// Uploads a file in parts. A failed upload is aborted immediately, or left to
/// [`ModelStore::abort_leftovers`].
pub(crate) async fn upload(
    store: &OpenStore,
    parts: &Arc<dyn MultipartStore>,
    file: &mut tokio::fs::File,
    staged: &Path,
    path: &ObjectPath,
) -> Result<(), ModelError> {
    let begin = store
        .health
        .observe(Access::Write, Some(path), parts.create_multipart(path));
    let id = begin
        .await
        .map_err(|error| model_error("write", path, &error))?;
    let upload = Upload {
        parts,
        health: &store.health,
        path,
        id,
    };

    let (agent, boot) = store
        .owner
        .as_ref()
        .map_or(("anonymous", 0), |owner| (owner.agent.as_str(), owner.boot));
    let record_path = object(&["uploads", agent, &format!("{:016x}", rand::random::<u64>())]);
    let record = Record {
        boot,
        path: path.clone(),
        id: upload.id.clone(),
    };

    let recorded = store
        .objects
        .put_opts(
            &record_path,
            PutPayload::from(record.write()),
            PutMode::Create.into(),
        )
        .await;

    let outcome = match recorded {
        Ok(_) => upload.send(file, staged).await,
        Err(error) => Err(model_error("write", &record_path, &error)),
    };
    let is_ended = outcome.is_ok() || upload.abort().await.is_ok();

    if is_ended && let Err(error) = store.objects.delete(&record_path).await {
        tracing::debug!(path = %record_path, %error, "the record of an upload stays for the \
            cleaner");
    }

    outcome
}

impl ModelStore {
    /// Aborts the uploads of crashed agents and those that could not be aborted when they failed;
    /// returns their number.
    pub(crate) async fn abort_leftovers(&self) -> Result<usize, ModelError> {
        let Some(parts) = &self.store.multipart else {
            return Ok(0);
        };
        let mut aborted = 0;

        for meta in self.list(&object(&["uploads"])).await? {
            let path = meta.location;
            let record = match self.store.objects.get(&path).await {
                Ok(record) => record
                    .bytes()
                    .await
                    .map_err(|error| model_error("read", &path, &error))?,
                Err(ObjectError::NotFound { .. }) => continue,
                Err(error) => return Err(model_error("read", &path, &error)),
            };

            if let Some(record) = Record::read(&String::from_utf8_lossy(&record)) {
                if self.is_in_progress(&path, &record).await? {
                    continue;
                }

                let upload = Upload {
                    parts,
                    health: &self.store.health,
                    path: &record.path,
                    id: record.id.clone(),
                };

                upload.abort().await?;
                tracing::warn!(path = %record.path, "aborted an abandoned upload");
                aborted += 1;
            }

            self.delete_object(&path).await?;
        }

        Ok(aborted)
    }

    async fn is_in_progress(&self, path: &ObjectPath, record: &Record) -> Result<bool, ModelError> {
        let is_ours = |owner: &&Owner| {
            path.parts()
                .nth(1)
                .is_some_and(|agent| agent.as_ref() == owner.agent)
        };

        // An upload of our own boot may have failed: its claim is active only while a writer works.
        if self
            .store
            .owner
            .as_ref()
            .filter(is_ours)
            .is_some_and(|owner| owner.boot != record.boot)
        {
            return Ok(false);
        }

        match record.version() {
            Some((model, version)) => self.is_claimed(&model, &version).await,
            None => Ok(false),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    fn store(agent: &str, boot: u64, memory: &Arc<InMemory>) -> ModelStore {
        let opened = OpenStore {
            multipart: Some(memory.clone()),
            ..OpenStore::of(memory.clone())
        };

        ModelStore::new(opened.owned_by(Owner {
            agent: agent.into(),
            boot,
        }))
    }

    #[tokio::test]
    async fn only_uploads_of_an_earlier_boot_or_without_a_live_claim_are_aborted() {
        let memory = Arc::new(InMemory::new());
        let path = ObjectPath::from("models/m/1/f");
        for boot in [1, 2] {
            let id = memory.create_multipart(&path).await.unwrap();
            let record = Record {
                boot,
                path: path.clone(),
                id,
            };
            let name = object(&["uploads", "node-0", &boot.to_string()]);

            memory.put(&name, record.write().into()).await.unwrap();
        }

        let same = store("node-0", 2, &memory);
        let other = store("node-1", 9, &memory);
        let model = "m".parse().unwrap();
        let version = "1".parse().unwrap();
        let claim = same.claim(&model, &version, "content", None).await.unwrap();

        assert_eq!(same.abort_leftovers().await.unwrap(), 1);
        assert_eq!(same.abort_leftovers().await.unwrap(), 0);
        assert_eq!(other.abort_leftovers().await.unwrap(), 0);

        // The writer failed and could not remove its claim.
        drop(claim);
        assert_eq!(
            other.abort_leftovers().await.unwrap(),
            0,
            "another agent can't know that the writer ended"
        );

        assert_eq!(same.abort_leftovers().await.unwrap(), 1);
        assert_eq!(other.list(&object(&["uploads"])).await.unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_large_file_is_uploaded_completely_and_leaves_no_record() {
        let memory = Arc::new(InMemory::new());
        let folder = tempfile::tempdir().unwrap();
        let staged = folder.path().join("f");
        let content: Vec<u8> = (0..2 * PART + 7).map(|index| (index % 251) as u8).collect();

        std::fs::write(&staged, &content).unwrap();
        let store = store("node-0", 1, &memory);
        let path = ObjectPath::from("models/m/1/f");

        crate::staging::place(&store.store, &staged, &path)
            .await
            .unwrap();
        assert!(memory.get(&path).await.unwrap().bytes().await.unwrap() == content);
        assert_eq!(store.list(&object(&["uploads"])).await.unwrap().len(), 0);
    }
}
