//! End-to-end tests: real processes, real sockets, real third-party tools.
//!
//! Every test starts a mesh of its own, on loopback addresses of its own (or in network
//! namespaces), from the binary that `cargo build` made, and observes it from outside: HTTP, DNS,
//! metrics, logs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod agents;
pub mod alertmanager;
pub mod api;
pub mod attack;
pub mod command;
pub mod converge;
pub mod dig;
pub mod door;
pub mod load;
pub mod loopback;
pub mod mesh;
pub mod models;
pub mod namespaces;
pub mod onnx;
pub mod order;
pub mod pages;
pub mod plans;
pub mod receiver;
pub mod route53;
pub mod s3;
pub mod scripted;
pub mod serve;
pub mod skip;
pub mod thief;
pub mod wait;
pub mod watch;
