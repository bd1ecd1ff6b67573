//! Resolves names outside the mesh's zone, as the system is configured to.

use hickory_resolver::{TokioResolver, net::NetError};
use std::net::IpAddr;

/// Most addresses of a name that are considered.
const ADDRESSES_MAX: usize = 16;

/// The system's resolver.
#[derive(Debug)]
pub struct Resolver(TokioResolver);

/// Why a name can't be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The system's configuration can't be read, or the lookup failed.
    #[error(transparent)]
    Failed(#[from] NetError),
    /// The name exists, but has no address.
    #[error("it has no addresses")]
    NoAddresses,
}

impl Resolver {
    /// A resolver as the system is configured; fails if that configuration can't be read.
    pub fn system() -> Result<Self, ResolveError> {
        Ok(Self(TokioResolver::builder_tokio()?.build()?))
    }

    /// The addresses of `host`, at least one.
    pub async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let found = self.0.lookup_ip(host).await?;
        let addresses: Vec<IpAddr> = found.iter().take(ADDRESSES_MAX).collect();

        if addresses.is_empty() {
            return Err(ResolveError::NoAddresses);
        }
        Ok(addresses)
    }
}
