//! One probe of one endpoint: success, definite failure, or silence.
//!
//! [`attempt`] classifies the result; [`regionmesh_core::health::probe`] evaluates a series of
//! probes. Every probe opens a new connection: a reused one would still work after the listener is
//! gone, and hides the time that a new client needs.

mod attempt;
mod expect;
mod target;
mod tls;

pub(crate) use target::{Question, Target, TargetError};

use crate::config::HealthConfig;
use async_trait::async_trait;
use regionmesh_core::health::probe::ProbeResult;
use regionmesh_dns::Resolver;
use std::{net::SocketAddr, time::Duration};

/// Probes endpoints: over the network, or with scripted results in tests.
#[async_trait]
pub trait Prober: Send + Sync + 'static {
    /// Probes `target` once, within the prober's timeout.
    async fn probe(&self, target: &Target) -> ProbeResult;
}

/// Probes over the network.
#[derive(Debug)]
pub(crate) struct NetworkProber {
    timeout: Duration,
    resolver: Option<Resolver>,
    tls: tls::Tls,
}

impl NetworkProber {
    /// A prober with the timeout of `config` and the system's resolver.
    pub(crate) fn new(config: &HealthConfig) -> Self {
        let resolver = Resolver::system()
            .inspect_err(|error| {
                tracing::warn!(%error, "the system's resolver configuration can't be read; \
                    endpoints given by name can't be probed");
            })
            .ok();
        let tls = tls::Tls::new(config);

        if let Some(error) = tls.fault() {
            tracing::warn!(error, "endpoints over TLS can't be probed");
        }
        Self {
            timeout: Duration::from_millis(config.timeout_ms),
            resolver,
            tls,
        }
    }

    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, ProbeResult> {
        if let Some(ip) = target.address.or_else(|| target.host.parse().ok()) {
            return Ok(vec![SocketAddr::new(ip, target.port)]);
        }

        // A name that does not resolve says nothing about the endpoint: silence.
        let silence =
            |why: String| ProbeResult::Silence(format!("can't resolve {}: {why}", target.host));
        let resolver = self
            .resolver
            .as_ref()
            .ok_or_else(|| silence("no resolver is configured".into()))?;
        let addresses = resolver
            .lookup(&target.host)
            .await
            .map_err(|error| silence(error.to_string()))?;

        Ok(addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, target.port))
            .collect())
    }

    /// Up to two attempts, to different addresses if the name has several. The second one starts
    /// after half of the timeout, while the first continues: so a lost packet is not silence, and
    /// an answer that takes three quarters of the timeout still counts.
    async fn probe_twice(&self, target: &Target) -> ProbeResult {
        let addresses = match self.resolve(target).await {
            Ok(addresses) => addresses,
            Err(result) => return result,
        };
        let Some(&address) = addresses.first() else {
            return ProbeResult::Silence("no address to probe".into());
        };
        let other = addresses.get(1).copied();
        let mut first = Box::pin(attempt::attempt(target, address, &self.tls));
        let second = attempt::attempt(target, other.unwrap_or(address), &self.tls);

        let ended = tokio::select! {
            result = &mut first => Some(result),
            () = tokio::time::sleep(self.timeout / 2) => None,
        };

        match ended {
            Some(ProbeResult::Silence(_)) => second.await,
            // Clients try the next address, for example when a name has an IPv6 and an IPv4 address
            // and only one is served. The same address is not probed again: a refusal is an answer.
            Some(refused @ ProbeResult::DefiniteFailure(_)) if other.is_some() => {
                match second.await {
                    success @ ProbeResult::Success { .. } => success,
                    _ => refused,
                }
            }
            Some(result) => result,
            None => {
                let mut second = Box::pin(second);
                tokio::select! {
                    result = &mut first => match result {
                        ProbeResult::Silence(_) => second.await,
                        result => result,
                    },
                    result = &mut second => match result {
                        ProbeResult::Silence(_) => first.await,
                        result => result,
                    },
                }
            }
        }
    }
}

#[async_trait]
impl Prober for NetworkProber {
    async fn probe(&self, target: &Target) -> ProbeResult {
        match tokio::time::timeout(self.timeout, self.probe_twice(target)).await {
            Ok(result) => result,
            Err(_) => ProbeResult::Silence(format!("no answer in {:?}", self.timeout)),
        }
    }
}

#[cfg(test)]
mod tests;
