//! Byte strings as one piece: `#[serde(with = "codec::bytes")]`. Serde would write and read a
//! `Vec<u8>` byte by byte. The encoding is the same.

use serde::{
    Deserializer, Serializer,
    de::{self, SeqAccess, Visitor},
};
use std::fmt;

/// Longest byte string that memory is reserved for before it is read.
const RESERVED_MAX: usize = 4096;

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    from.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    /// As text formats write them.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        let length = seq.size_hint().unwrap_or_default().min(RESERVED_MAX);
        let mut bytes = Vec::with_capacity(length);
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }

        Ok(bytes)
    }
}
