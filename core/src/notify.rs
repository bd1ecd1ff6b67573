//! What happened in the mesh, which alerts are active, and which agent sends them.

pub mod alert;
pub mod changes;
pub mod notifier;
