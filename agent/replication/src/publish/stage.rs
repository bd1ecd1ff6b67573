//! Staging a file: its body is written, chunked and hashed while it arrives.

use super::error::PublishError;
use crate::early_sync::EarlySync;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use regionmesh_protocol::models::chunking::{Chunker, Cut};
use regionmesh_runtime::models::ModelError;
use std::{
    io::{self, Write},
    path::Path,
};
use tokio::sync::mpsc;

/// Bytes per block for the hashing thread: few hand-overs, and little memory.
const BLOCK: usize = 1 << 20;
/// Queue length of the hashing thread, in blocks.
const BLOCKS_AHEAD: usize = 8;

/// Writes a body to `staged`, and chunks and hashes it in a thread.
pub(super) async fn stage(
    staged: &Path,
    path: &str,
    declared: u64,
    mut body: impl Stream<Item = io::Result<Bytes>> + Unpin + Send,
) -> Result<Cut, PublishError> {
    let (send, receive) = mpsc::channel::<Vec<u8>>(BLOCKS_AHEAD);
    let target = staged.to_owned();
    let writer = tokio::task::spawn_blocking(move || write_blocks(&target, receive));

    let mut found = 0u64;
    let mut block = Vec::with_capacity(BLOCK);
    let mut broken = None;

    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => {
                found += piece.len() as u64;
                block.extend_from_slice(&piece);
            }
            Err(error) => {
                broken = Some(PublishError::Sender {
                    path: path.into(),
                    error,
                });
                break;
            }
        }

        if found > declared {
            break;
        }

        // A writer that failed has closed the channel; its error is read below.
        if block.len() >= BLOCK
            && send
                .send(std::mem::replace(&mut block, Vec::with_capacity(BLOCK)))
                .await
                .is_err()
        {
            break;
        }
    }

    let _ = send.send(block).await;
    drop(send);

    let io = |error| ModelError::io("write", staged, error);
    let (cut, sync) = writer
        .await
        .map_err(|error| io(io::Error::other(error)))??;

    sync.finish().await.map_err(io)?;
    match broken {
        Some(error) => Err(error),
        None if found != declared => Err(PublishError::Truncated {
            path: path.into(),
            found,
            declared,
        }),
        None => Ok(cut),
    }
}

/// Writes and chunks blocks until their channel closes.
fn write_blocks(
    target: &Path,
    mut receive: mpsc::Receiver<Vec<u8>>,
) -> Result<(Cut, EarlySync), ModelError> {
    let io = |error| ModelError::io("write", target, error);
    let mut file = std::fs::File::create(target).map_err(io)?;
    let sync = EarlySync::new(target).map_err(io)?;
    let mut chunker = Chunker::default();

    while let Some(block) = receive.blocking_recv() {
        file.write_all(&block).map_err(io)?;
        sync.wrote(block.len() as u64);
        chunker.push(&block);
    }

    Ok((chunker.finish(), sync))
}
