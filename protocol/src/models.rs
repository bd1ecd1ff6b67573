//! Models, versions and manifests: what a version consists of, down to its chunks.

pub mod catalogue;
pub mod chunking;
pub mod digest;
pub mod manifest;
