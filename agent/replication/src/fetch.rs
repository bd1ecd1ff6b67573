//! Fetching one version from the regions that hold it.
//!
//! Bytes are assembled in staging files of their final size. A chunk counts as present if the bytes
//! at its offset have its hash, so an interrupted fetch resumes without a journal. Chunks that a
//! local version has are copied; the rest is downloaded in requests of a few chunks from several
//! agents in parallel, and each chunk is verified on arrival. An agent that sends wrong bytes is
//! not asked again; more expensive sources are used when cheaper ones fail or are slow.

mod download;
mod error;
mod local;
mod pieces;

use crate::{
    BulkReceive, BulkSend, Store, Transport,
    early_sync::{EarlySync, SYNC_EVERY},
    frames::{in_time, read_frame, write_frame},
    metrics::ReplicationMetrics,
};
use error::FetchError;
use pieces::whole_digest;
use regionmesh_protocol::{
    codec::DOCUMENT_LIMIT,
    identity::AgentId,
    models::manifest::{Manifest, VersionSummary},
    wire::{BulkReply, BulkRequest},
};
use regionmesh_runtime::models::ModelError;
use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc, time::Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Everything that a fetch needs.
#[derive(Clone)]
pub struct Fetcher {
    /// The region's store.
    pub store: Arc<dyn Store>,
    /// Opens streams to peers.
    pub transport: Arc<dyn Transport>,
    pub metrics: ReplicationMetrics,
    /// Where files are assembled.
    pub staging: PathBuf,
    /// Parallel streams of one fetch.
    pub streams: usize,
}

impl Fetcher {
    /// Fetches, verifies and commits `wanted` from `sources`, the best first; the agents of one
    /// list are asked in parallel.
    pub async fn fetch(
        &self,
        wanted: &VersionSummary,
        sources: &[Vec<AgentId>],
    ) -> Result<VersionSummary, FetchError> {
        let what = format!("{}@{}", wanted.model, wanted.version);
        let start = Instant::now();
        let manifest = self.manifest(wanted, sources, &what).await?;

        // Named by content, so that an attempt after a crash resumes here, even under another
        // version name.
        let folder = self.staging.join(wanted.content.to_string());
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(|error| ModelError::io("create", &folder, error))?;

        let paths: Vec<_> = (0..manifest.files.len())
            .map(|index| folder.join(index.to_string()))
            .collect();
        let missing = self.prepare(&manifest, &paths).await?;
        let missing = self.reuse(&manifest, &paths, missing).await?;
        let syncs = early_syncs(&manifest, &paths)?;
        let prepared = start.elapsed();

        self.download(&manifest, &paths, &syncs, missing, sources, &what)
            .await?;

        let received = start.elapsed();
        for (file, path) in manifest.files.iter().zip(&paths) {
            if whole_digest(path).await? != file.digest {
                // None of the staged bytes can be trusted; the next attempt starts from scratch.
                let _ = tokio::fs::remove_dir_all(&folder).await;
                return Err(FetchError::Whole {
                    what,
                    path: file.path.clone(),
                });
            }
        }

        let verified = start.elapsed();
        for (index, sync) in syncs {
            let path = &paths[index];
            if let Err(error) = sync.finish().await {
                // It is unknown how much of the file is on disk.
                let _ = tokio::fs::remove_file(path).await;
                return Err(ModelError::io("assemble", path, error).into());
            }
        }

        let committed = self.store.commit(&manifest, &paths).await?;
        let download = received - prepared;
        let verify = verified - received;
        let commit = start.elapsed() - verified;

        tracing::debug!(
            version = what,
            ?prepared,
            ?download,
            ?verify,
            ?commit,
            "fetch timings"
        );

        let _ = tokio::fs::remove_dir_all(&folder).await;
        Ok(committed)
    }

    async fn manifest(
        &self,
        wanted: &VersionSummary,
        sources: &[Vec<AgentId>],
        what: &str,
    ) -> Result<Manifest, FetchError> {
        let mut last = "no connected agent holds it".to_owned();
        for source in sources.iter().flatten() {
            match self.manifest_from(wanted, source).await {
                Ok(manifest) => return Ok(manifest),
                Err(why) => last = format!("{source}: {why}"),
            }
        }

        Err(FetchError::NoSource {
            what: what.into(),
            asked: sources.concat().len(),
            last,
        })
    }

    async fn manifest_from(
        &self,
        wanted: &VersionSummary,
        source: &AgentId,
    ) -> Result<Manifest, String> {
        let request = BulkRequest::Manifest {
            model: wanted.model.clone(),
            version: wanted.version.clone(),
        };
        let (length, _send, mut receive) = self
            .ask(source, &request)
            .await
            .map_err(|error| error.to_string())?;

        if length > DOCUMENT_LIMIT as u64 {
            return Err(format!(
                "the manifest has {length} bytes, the limit is {DOCUMENT_LIMIT}"
            ));
        }

        let mut bytes = vec![0; length as usize];
        in_time(async { receive.read_exact(&mut bytes).await.map(drop) })
            .await
            .map_err(|error| error.to_string())?;

        let manifest: Manifest = regionmesh_protocol::codec::decode_document(&bytes)
            .map_err(|error| error.to_string())?;
        manifest.check().map_err(|error| error.to_string())?;
        if manifest.summary() != *wanted {
            return Err("its manifest does not match the announced version".into());
        }

        Ok(manifest)
    }

    /// Sends a request; returns the size of the answer in bytes and its stream.
    async fn ask(
        &self,
        source: &AgentId,
        request: &BulkRequest,
    ) -> io::Result<(u64, BulkSend, BulkReceive)> {
        let (mut send, mut receive) = self.transport.open(source).await?;

        in_time(write_frame(&mut send, request)).await?;
        in_time(send.flush()).await?;
        match in_time(read_frame(&mut receive)).await? {
            BulkReply::Bytes(length) => Ok((length, send, receive)),
            BulkReply::NotHeld => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it no longer holds that content",
            )),
            BulkReply::Failed(why) => Err(io::Error::other(why)),
        }
    }
}

/// Early syncs of the large files only: each keeps a descriptor open, and a version may have
/// thousands of small files.
fn early_syncs(
    manifest: &Manifest,
    paths: &[PathBuf],
) -> Result<BTreeMap<usize, EarlySync>, ModelError> {
    let large = manifest
        .files
        .iter()
        .zip(paths)
        .enumerate()
        .filter(|(_, (file, _))| file.size > SYNC_EVERY);

    large
        .map(|(index, (_, path))| {
            let sync =
                EarlySync::new(path).map_err(|error| ModelError::io("assemble", path, error))?;
            Ok((index, sync))
        })
        .collect()
}
