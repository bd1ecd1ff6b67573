//! Deterministic simulations of whole meshes, and of one region's recovery: the same seed always
//! gives the same run.

pub mod mesh;
pub mod random;
pub mod recovery;
