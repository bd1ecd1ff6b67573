//! How a recovered region takes its traffic back.

pub mod ramp;
pub mod trial;
