//! The encoding of everything that crosses the mesh or is kept in a register slot.
//!
//! bincode is pinned to `=2.0.1`: 3.0.0 is a tombstone that does not compile and 2.0.1 is
//! unmaintained, so only this file names it and a successor can replace it here. Every decode has a
//! size limit, because otherwise a peer's length prefix would decide how much memory we allocate.

pub(crate) mod bytes;

use serde::{Serialize, de::DeserializeOwned};

/// Largest control message (a peer call, a datagram, a register slot), bytes.
pub const MESSAGE_LIMIT: usize = 1 << 20;
/// Largest board exchange or model manifest, bytes. A 100 GiB model in 1 MiB chunks has a manifest
/// of about 5 MiB.
pub const DOCUMENT_LIMIT: usize = 32 << 20;

/// Why a value could not be decoded or encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The value exceeds the limit of its kind.
    #[error("the encoded value has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Size of the value, bytes.
        size: usize,
        /// The limit that it breaks, bytes.
        limit: usize,
    },
    /// The bytes are not an encoding of the type asked for.
    #[error("malformed bytes: {0}")]
    Malformed(String),
    /// Bytes were left over after a complete value.
    #[error("{extra} bytes follow a complete value")]
    Trailing {
        /// How many bytes were left over.
        extra: usize,
    },
}

/// Encodes `value`; fails above [`MESSAGE_LIMIT`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_within(value, MESSAGE_LIMIT)
}

/// Encodes `value`; fails above [`DOCUMENT_LIMIT`].
pub fn encode_document<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_within(value, DOCUMENT_LIMIT)
}

fn encode_within<T: Serialize + ?Sized>(value: &T, limit: usize) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    if bytes.len() > limit {
        return Err(CodecError::TooLarge {
            size: bytes.len(),
            limit,
        });
    }

    Ok(bytes)
}

/// Decodes exactly one value of at most [`MESSAGE_LIMIT`] bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_within::<T, MESSAGE_LIMIT>(bytes)
}

/// Decodes exactly one value of at most [`DOCUMENT_LIMIT`] bytes.
pub fn decode_document<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_within::<T, DOCUMENT_LIMIT>(bytes)
}

fn decode_within<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > LIMIT {
        return Err(CodecError::TooLarge {
            size: bytes.len(),
            limit: LIMIT,
        });
    }

    let (value, read) =
        bincode::serde::decode_from_slice(bytes, bincode::config::standard().with_limit::<LIMIT>())
            .map_err(|error| CodecError::Malformed(error.to_string()))?;
    if read != bytes.len() {
        return Err(CodecError::Trailing {
            extra: bytes.len() - read,
        });
    }

    Ok(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
