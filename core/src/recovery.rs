//! How a recovered region takes its traffic back.

pub mod canary;
pub mod ramp;
