//! Answering other regions' requests for manifests and chunks.

use crate::{
    Store,
    frames::{in_time, read_frame, write_frame},
    metrics::ReplicationMetrics,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::{
        chunking::CHUNK_MAX,
        digest::Digest,
        manifest::{ModelName, VersionName},
    },
    wire::{BulkReply, BulkRequest},
};
use regionmesh_runtime::{meter::Meter, models::ModelError};
use std::{collections::HashMap, io, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{Mutex, Semaphore},
};

/// Ranges of one request.
const RANGES_MAX: usize = 4_096;
/// Bytes of one request.
const REQUEST_MAX: u64 = 256 << 20;
/// Bytes per read of the store; the next block is read while one is sent.
const BLOCK: u64 = 4 << 20;
/// Requests answered in parallel; each holds two blocks in memory.
const REQUESTS_IN_PARALLEL: usize = 16;
/// Versions whose content digest is remembered, so that a request need not read the manifest again.
const REMEMBERED: usize = 256;

/// Serves the region's store to peers. Clones share limits and caches.
#[derive(Clone)]
pub struct BulkServer {
    store: Arc<dyn Store>,
    metrics: ReplicationMetrics,
    meter: Meter,
    places: Arc<Semaphore>,
    contents: Arc<Mutex<HashMap<(String, String), Digest>>>,
}

impl BulkServer {
    /// A server of `store`.
    pub fn new(store: Arc<dyn Store>, metrics: ReplicationMetrics, meter: Meter) -> Self {
        Self {
            store,
            metrics,
            meter,
            places: Arc::new(Semaphore::new(REQUESTS_IN_PARALLEL)),
            contents: Arc::default(),
        }
    }

    /// Answers the one request of a stream.
    pub async fn answer(
        &self,
        from: &AgentId,
        send: &mut (impl AsyncWrite + Unpin + Send),
        receive: &mut (impl AsyncRead + Unpin + Send),
    ) -> io::Result<()> {
        let request: BulkRequest = in_time(read_frame(receive)).await?;
        let _place = self.places.acquire().await.map_err(io::Error::other)?;
        match request {
            BulkRequest::Manifest { model, version } => {
                match self.store.manifest_bytes(&model, &version).await {
                    Ok(bytes) => {
                        in_time(write_frame(send, &BulkReply::Bytes(bytes.len() as u64))).await?;
                        in_time(send.write_all(&bytes)).await?;
                    }
                    Err(error) => in_time(write_frame(send, &refusal(error))).await?,
                }
            }
            BulkRequest::Ranges {
                model,
                version,
                content,
                path,
                ranges,
            } => {
                let total = check(&ranges).map_err(io::Error::other)?;
                if let Some(refusal) = self.refusal_of(&model, &version, content).await {
                    return in_time(write_frame(send, &refusal)).await;
                }

                let mut blocks = stream::iter(blocks(&ranges))
                    .map(|block| self.store.read_range(&model, &version, &path, block))
                    .buffered(2);
                let mut is_begun = false;

                while let Some(block) = blocks.next().await {
                    match block {
                        Ok(block) => {
                            if !is_begun {
                                in_time(write_frame(send, &BulkReply::Bytes(total))).await?;
                                is_begun = true;
                            }

                            send_block(send, &block).await?;
                            self.count_sent(&from.region, &model, block.len() as u64);
                        }
                        Err(error) if !is_begun => {
                            return in_time(write_frame(send, &refusal(error))).await;
                        }
                        // The size was sent already: only closing the stream early signals the
                        // error.
                        Err(error) => return Err(io::Error::other(error)),
                    }
                }
            }
        }

        in_time(send.shutdown()).await
    }

    /// The reply to a request for `content` if the version is not held or has other content.
    async fn refusal_of(
        &self,
        model: &ModelName,
        version: &VersionName,
        content: Digest,
    ) -> Option<BulkReply> {
        let key = (model.to_string(), version.to_string());
        if self.contents.lock().await.get(&key) == Some(&content) {
            return None;
        }

        match self.store.manifest(model, version).await {
            Ok(manifest) if manifest.content() == content => {
                let mut contents = self.contents.lock().await;
                if contents.len() >= REMEMBERED {
                    contents.clear();
                }
                contents.insert(key, content);
                None
            }
            Ok(_) => Some(BulkReply::NotHeld),
            Err(error) => Some(refusal(error)),
        }
    }

    fn count_sent(&self, to: &RegionName, model: &ModelName, bytes: u64) {
        self.metrics
            .bytes
            .with_label_values(&["sent", to.as_str()])
            .inc_by(bytes);
        self.meter.replicated(to, model, bytes);
    }
}

async fn send_block(send: &mut (impl AsyncWrite + Unpin), block: &Bytes) -> io::Result<()> {
    // In pieces, so that a slow link does not count as stalled.
    for piece in block.chunks(256 << 10) {
        in_time(send.write_all(piece)).await?;
    }
    Ok(())
}

fn refusal(error: ModelError) -> BulkReply {
    match error {
        ModelError::NotFound { .. } => BulkReply::NotHeld,
        error => BulkReply::Failed(error.to_string()),
    }
}

fn check(ranges: &[(u64, u32)]) -> Result<u64, String> {
    if ranges.len() > RANGES_MAX {
        return Err(format!(
            "{} ranges were requested, the limit is {RANGES_MAX}",
            ranges.len()
        ));
    }

    let total: u64 = ranges.iter().map(|(_, length)| u64::from(*length)).sum();
    let is_possible = ranges.iter().all(|(offset, length)| {
        (1..=CHUNK_MAX).contains(&(*length as usize))
            && offset.checked_add(u64::from(*length)).is_some()
    });

    if total > REQUEST_MAX || !is_possible {
        return Err(format!(
            "{total} bytes were requested at once, the limit is {REQUEST_MAX}"
        ));
    }

    Ok(total)
}

/// Adjacent ranges joined, then cut into blocks.
fn blocks(ranges: &[(u64, u32)]) -> Vec<std::ops::Range<u64>> {
    let mut blocks: Vec<std::ops::Range<u64>> = Vec::new();
    for (offset, length) in ranges {
        let end = offset + u64::from(*length);
        match blocks.last_mut() {
            Some(last) if last.end == *offset && end - last.start <= BLOCK => last.end = end,
            _ => blocks.push(*offset..end),
        }
    }

    blocks
}
