//! An account: its zone, its changes, its health checks, its rate.

use super::{
    ZONE,
    checks::{self, Check, CheckKind},
    options::{Fault, Options},
    xml::Element,
    zone::{self, Change, Refused, Set},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Instant,
};

/// Everything that a fake knows.
pub(super) struct State {
    pub(super) options: Options,
    pub(super) sets: Vec<Set>,
    /// Since when which sets are on the name servers, in order.
    spread: Vec<(Instant, Vec<Set>)>,
    /// Changes, and when they are in sync.
    changes: BTreeMap<String, Instant>,
    busy_until: Instant,
    tokens: f64,
    tokens_at: Instant,
    pub(super) checks: BTreeMap<String, Check>,
    /// Caller references of checks that are deleted.
    spent: BTreeSet<String>,
    pub(super) faults: VecDeque<(String, Fault)>,
    /// Requests: operation and outcome.
    pub(super) log: Vec<(String, String)>,
    /// Where host names lead.
    pub(super) hosts: BTreeMap<String, SocketAddr>,
    count: u64,
}

impl State {
    pub(super) fn new(options: Options) -> Self {
        let now = Instant::now();
        let apex = |record_type, values: &[&str]| Set::simple(ZONE, record_type, values);
        let soa = "ns-1.awsdns-fake.test. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";
        let sets = vec![
            apex("NS", &["ns-1.awsdns-fake.test.", "ns-2.awsdns-fake.test."]),
            apex("SOA", &[soa]),
        ];

        Self {
            tokens: f64::from(options.requests_per_second),
            options,
            spread: vec![(now, sets.clone())],
            sets,
            changes: BTreeMap::new(),
            busy_until: now,
            tokens_at: now,
            checks: BTreeMap::new(),
            spent: BTreeSet::new(),
            faults: VecDeque::new(),
            log: Vec::new(),
            hosts: BTreeMap::new(),
            count: 0,
        }
    }

    /// Takes a token of the account's rate.
    pub(super) fn is_throttled(&mut self, now: Instant) -> bool {
        let rate = f64::from(self.options.requests_per_second);
        self.tokens = (self.tokens + (now - self.tokens_at).as_secs_f64() * rate).min(rate);
        self.tokens_at = now;
        if self.tokens < 1.0 {
            return true;
        }
        self.tokens -= 1.0;
        false
    }

    /// Whether an earlier change of the zone is still being taken in; if not, this one is from now
    /// on.
    pub(super) fn is_busy(&mut self, now: Instant) -> bool {
        if now < self.busy_until {
            return true;
        }
        self.busy_until = now + self.options.processing;
        false
    }

    fn next_id(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{:06}", self.count)
    }

    pub(super) fn change(&mut self, changes: &[Change]) -> Result<Element, Refused> {
        let next = zone::apply(ZONE, &self.sets, changes, |id| self.checks.contains_key(id))?;
        let id = self.next_id("C");
        let in_sync = Instant::now() + self.options.in_sync;

        self.sets = next;
        self.spread.push((in_sync, self.sets.clone()));
        self.changes.insert(id.clone(), in_sync);
        Ok(Element::new("ChangeResourceRecordSetsResponse").child(change_info(&id, false)))
    }

    pub(super) fn change_state(&self, id: &str) -> Option<Element> {
        let in_sync = self.changes.get(id)?;
        Some(Element::new("GetChangeResponse").child(change_info(id, Instant::now() >= *in_sync)))
    }

    /// What the name servers hold now.
    pub(super) fn visible(&self) -> &[Set] {
        let now = Instant::now();
        self.spread
            .iter()
            .rev()
            .find(|(since, _)| *since <= now)
            .map_or(&[], |(_, sets)| sets)
    }

    /// Makes a check; whether there was none before.
    pub(super) fn create_check(
        &mut self,
        reference: &str,
        config: &Element,
    ) -> Result<(String, bool), Refused> {
        checks::check_reference(reference)?;
        let kind = checks::read(config, &self.checks)?;
        if let Some(found) = self
            .checks
            .values()
            .find(|check| check.reference == reference)
        {
            if found.config.children == config.children {
                return Ok((found.id.clone(), false));
            }
            return Err(Refused::InvalidInput("HealthCheckAlreadyExists".into()));
        }

        if self.spent.contains(reference) {
            return Err(Refused::InvalidInput("HealthCheckAlreadyExists".into()));
        }

        let id = self.next_id("hc-");
        let check = Check {
            id: id.clone(),
            reference: reference.into(),
            kind,
            tags: BTreeMap::new(),
            config: config.clone(),
            contrary: 0,
            is_healthy: true,
        };

        self.checks.insert(id.clone(), check);
        Ok((id, true))
    }

    pub(super) fn delete_check(&mut self, id: &str) -> bool {
        self.checks
            .remove(id)
            .is_some_and(|check| self.spent.insert(check.reference))
    }

    pub(super) fn is_healthy(&self, id: &str) -> bool {
        checks::is_healthy(&self.checks, id)
    }

    /// What the checkers have to ask: check, address, host name, path.
    pub(super) fn polls(&self) -> Vec<(String, Option<SocketAddr>, String, String)> {
        let poll = |check: &Check| match &check.kind {
            CheckKind::Poll { host, path, .. } => Some((
                check.id.clone(),
                self.hosts.get(host).copied(),
                host.clone(),
                path.clone(),
            )),
            CheckKind::Calculated { .. } => None,
        };

        self.checks.values().filter_map(poll).collect()
    }
}

fn change_info(id: &str, is_in_sync: bool) -> Element {
    let info = Element::new("ChangeInfo")
        .field("Id", format!("/change/{id}"))
        .field("Status", if is_in_sync { "INSYNC" } else { "PENDING" });
    info.field("SubmittedAt", "2026-01-01T00:00:00Z")
}
