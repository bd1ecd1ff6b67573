//! How a region that came back takes its traffic again.

pub mod ramp;
pub mod trial;
