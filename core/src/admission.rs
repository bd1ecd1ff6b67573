//! Who is let in, who waits, and what is sent again.

pub mod places;
pub mod queue;
pub mod retry;
