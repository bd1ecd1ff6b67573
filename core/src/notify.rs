//! What happened in the mesh, which alerts hold, and which agent sends them.

pub mod alert;
pub mod duty;
pub mod journal;
