//! A strict fake of the Route 53 API: an HTTP server with the real wire format, driven by the real
//! SDK's client.
//!
//! It enforces the documented rules, including easily forgotten ones: change batches are
//! transactional, DELETE must match exactly, CREATE refuses what exists, one name and type has one
//! routing policy, a zone takes one change at a time, an account has its rate, a change is on the
//! name servers only after a while. Name servers answer over DNS what is in sync, by routing policy
//! and health; health checkers really ask over HTTP. Faults can be injected.
//!
//! Where the documentation leaves a choice (may changes of one batch depend on their order?) the
//! fake takes the side on which fewer programs work. `tests/e2e/route53_fake.rs` has a test for
//! every rule.

mod answers;
mod authority;
pub mod bench;
mod checkers;
mod checks;
mod listing;
mod operations;
mod options;
mod server;
mod state;
mod xml;
mod zone;

pub use answers::Answer;
pub use checks::{Check, CheckKind};
pub use options::{Fault, Options};
pub use server::{FakeRoute53, client};
pub use zone::{Policy, Set};

/// The hosted zone that a fake has.
pub const ZONE_ID: &str = "Z0FAKE0FAKE0";
/// The domain of the hosted zone.
pub const ZONE: &str = "example.com.";
