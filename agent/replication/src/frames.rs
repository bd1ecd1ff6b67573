//! Frames on a bulk stream.

use regionmesh_protocol::codec::{self, MESSAGE_LIMIT};
use serde::{Serialize, de::DeserializeOwned};
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A stream without a byte for this long is given up.
pub const STALL: Duration = Duration::from_secs(20);

/// Writes a value with its length before it.
pub(crate) async fn write_frame<T: Serialize>(
    send: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> io::Result<()> {
    let bytes = codec::encode(value).map_err(io::Error::other)?;
    // At most MESSAGE_LIMIT, which fits.
    let mut frame = (bytes.len() as u32).to_le_bytes().to_vec();
    frame.extend(bytes);
    send.write_all(&frame).await
}

/// Reads a value with its length before it; at most [`MESSAGE_LIMIT`] bytes.
pub(crate) async fn read_frame<T: DeserializeOwned>(
    receive: &mut (impl AsyncRead + Unpin),
) -> io::Result<T> {
    let mut length = [0; 4];
    receive.read_exact(&mut length).await?;

    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_LIMIT {
        return Err(io::Error::other(format!(
            "a frame of {length} bytes, the limit is {MESSAGE_LIMIT}"
        )));
    }

    let mut bytes = vec![0; length];
    receive.read_exact(&mut bytes).await?;
    codec::decode(&bytes).map_err(io::Error::other)
}

/// Waits for `work`, at most [`STALL`].
pub(crate) async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(STALL, work).await.map_err(|_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no progress for {STALL:?}"),
        )
    })?
}
