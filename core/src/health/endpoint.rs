//! What one observer concludes about a region's endpoint: about each of its addresses, and about
//! the whole.
//!
//! An address is judged by its recent probes ([`crate::health::probe`]) and by gray failure
//! ([`crate::health::gray`]), whichever is worse. The endpoint is as good as the worst of the
//! addresses that it needs ([`crate::health::verdict::of_addresses`]).

use crate::health::{
    gray::{GrayPolicy, GrayWindow},
    probe::{ProbePolicy, ProbeResult, ProbeTracker},
    verdict::of_addresses,
};
use regionmesh_protocol::status::condition::{AddressObservation, Condition};
use std::net::IpAddr;

/// Separates the cause of an address's condition from its last probe, in an observation's evidence.
pub(crate) const LAST_PROBE: &str = "; last: ";

/// How an endpoint is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// When probes of one address add up to a conclusion.
    pub probes: ProbePolicy,
    /// When an address that answers is not good enough.
    pub gray: GrayPolicy,
    /// The endpoint has failed when fewer addresses than this have not. At least 1.
    pub minimum: usize,
}

/// What a probe changed: the conditions before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The address's condition before; none if it did not change.
    pub(crate) address: Option<Condition>,
    /// The endpoint's condition before; none if it did not change.
    pub(crate) endpoint: Option<Condition>,
}

/// One observer's view of one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct EndpointTracker {
    addresses: Vec<AddressTracker>,
    decides: usize,
    condition: Condition,
    since_ms: u64,
}

#[derive(Debug, Clone)]
struct AddressTracker {
    address: Option<IpAddr>,
    probes: ProbeTracker,
    gray: GrayWindow,
    condition: Condition,
    since_ms: u64,
    probed_ms: u64,
    inference: Option<bool>,
    /// Why it is gray.
    reason: Option<String>,
    /// Whether it is gray and no worse.
    is_gray: bool,
    quantile_percent: u8,
}

impl EndpointTracker {
    /// A tracker of these addresses; none is the endpoint by its name. Probing begins at `now_ms`.
    pub(crate) fn new(addresses: &[Option<IpAddr>], now_ms: u64) -> Self {
        let new = |address: &Option<IpAddr>| AddressTracker {
            address: *address,
            probes: ProbeTracker::new(now_ms),
            gray: GrayWindow::default(),
            condition: Condition::Unknown,
            since_ms: now_ms,
            probed_ms: 0,
            inference: None,
            reason: None,
            is_gray: false,
            quantile_percent: 0,
        };

        let addresses = addresses.iter().map(new).collect();
        Self {
            addresses,
            decides: 0,
            condition: Condition::Unknown,
            since_ms: now_ms,
        }
    }

    /// Takes in one probe of the address at `index`; `is_inference` if it was a synthetic
    /// inference.
    pub(crate) fn record(
        &mut self,
        index: usize,
        result: ProbeResult,
        is_inference: bool,
        now_ms: u64,
        policy: &EndpointPolicy,
    ) -> Changed {
        let Some(address) = self.addresses.get_mut(index) else {
            return Changed::default();
        };
        let of_address = address.record(result, is_inference, now_ms, policy);
        let conditions: Vec<Condition> = self
            .addresses
            .iter()
            .map(|address| address.condition)
            .collect();

        self.decides = of_addresses(&conditions, policy.minimum).unwrap_or(0);
        let after = conditions
            .get(self.decides)
            .copied()
            .unwrap_or(Condition::Unknown);
        let before = std::mem::replace(&mut self.condition, after);
        let of_endpoint = (before != after).then_some(before);

        if of_endpoint.is_some() {
            self.since_ms = now_ms;
        }
        Changed {
            address: of_address,
            endpoint: of_endpoint,
        }
    }

    /// The conclusion about the endpoint.
    pub(crate) fn condition(&self) -> Condition {
        self.condition
    }

    /// When it was reached, milliseconds of the caller's clock.
    pub(crate) fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// Whether it failed by definite failures, not by silence alone.
    pub(crate) fn is_definite(&self) -> bool {
        let decides = self.addresses.get(self.decides);
        self.condition == Condition::Failed
            && decides.is_some_and(|address| address.probes.is_definite())
    }

    /// The evidence of the address that decides.
    pub(crate) fn evidence(&self) -> String {
        let Some(address) = self.addresses.get(self.decides) else {
            return String::new();
        };
        match address.address {
            // The address matters only if there are several and something is wrong with it.
            Some(ip) if self.addresses.len() > 1 && address.condition != Condition::Healthy => {
                format!("{ip}: {}", address.evidence())
            }
            _ => address.evidence(),
        }
    }

    /// Time of the last successful probe of the address that decides, microseconds.
    pub(crate) fn round_trip_us(&self) -> Option<u64> {
        self.addresses.get(self.decides)?.probes.round_trip_us()
    }

    /// Whether any probe of any address ever succeeded.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.addresses
            .iter()
            .any(|address| address.probes.has_succeeded())
    }

    /// What was seen of each address.
    pub(crate) fn observations(&self) -> Vec<AddressObservation> {
        self.addresses
            .iter()
            .map(AddressTracker::observation)
            .collect()
    }
}

impl AddressTracker {
    fn record(
        &mut self,
        result: ProbeResult,
        is_inference: bool,
        now_ms: u64,
        policy: &EndpointPolicy,
    ) -> Option<Condition> {
        let success_us = match &result {
            ProbeResult::Success { round_trip_us, .. } => Some(*round_trip_us),
            ProbeResult::DefiniteFailure(_) | ProbeResult::Silence(_) => None,
        };

        if is_inference {
            self.inference = Some(success_us.is_some());
        }

        // Gray failure is a rate over time: probes that only confirm a failure would count one
        // moment many times.
        let since_last_ms = now_ms.saturating_sub(self.probed_ms);
        let is_extra =
            self.probes.is_confirming(&policy.probes) && since_last_ms < policy.probes.interval_ms;

        self.probed_ms = now_ms;
        let was = self.probes.record(result, now_ms, &policy.probes);
        if was == Some(Condition::Failed) {
            // It has just recovered: what it did before already had its consequences.
            self.gray = GrayWindow::default();
        }

        if !is_extra {
            self.gray.record(success_us, &policy.gray);
        }
        self.reason = self.gray.reason(&policy.gray);
        self.quantile_percent = policy.gray.quantile_percent;

        let gray = self.gray.condition(&policy.gray);
        let probes = match self.probes.is_reached_again(&policy.probes) {
            // After a partition a leader may be elected at this moment: it must not take regions
            // out for what is over.
            true => Condition::Suspect,
            false => self.probes.condition(),
        };
        self.is_gray = gray > probes;

        let after = match (probes, gray) {
            // Unknown is no better than gray.
            (Condition::Unknown, Condition::Healthy) => Condition::Unknown,
            (probes, gray) => probes.max(gray),
        };
        let before = std::mem::replace(&mut self.condition, after);

        (before != after).then(|| {
            self.since_ms = now_ms;
            before
        })
    }

    /// Why it is in its condition. Without the last probe if it is gray: that one differs each
    /// time, and every changed reason is published.
    fn evidence(&self) -> String {
        let gray = self.reason.clone().filter(|_| self.is_gray);
        gray.unwrap_or_else(|| self.probes.reason())
    }

    fn observation(&self) -> AddressObservation {
        AddressObservation {
            address: self.address,
            condition: self.condition,
            evidence: match (self.evidence(), self.probes.evidence()) {
                (reason, last) if reason == last => reason,
                (reason, last) => format!("{reason}{LAST_PROBE}{last}"),
            },
            since_ms: self.since_ms,
            probed_ms: self.probed_ms,
            round_trip_us: self.probes.round_trip_us(),
            quantile_us: self.gray.quantile_us(self.quantile_percent),
            error_bp: self.gray.error_bp(),
            inference: self.inference,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
