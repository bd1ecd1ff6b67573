//! Identity of agents and peers: certificates with SPIFFE IDs, verified against the mesh's
//! authorities.
//!
//! A peer's region and name come from the URI SAN of its certificate alone (X.509-SVID §5); DNS
//! names are ignored. A dialler names the region that it wants in the server name, and refuses a
//! certificate of another region. Session resumption is off: every connection presents a
//! certificate, so that an expired one is noticed.

mod config;
mod error;
mod files;
mod identity;
mod names;
mod verifier;

pub use error::IdentityError;
pub use identity::{Identity, crypto_provider};
pub(crate) use names::{agent_of, server_name};
pub(crate) use verifier::readable;

use std::time::Duration;

/// How often the certificate files are checked for changes.
pub(crate) const RELOAD_EVERY: Duration = Duration::from_secs(2);
