//! The journal: from what an agent sees of the mesh to what happened ([`Event`]) and what is the
//! case ([`Alert`]).
//!
//! It is told of each change of what all agents hold, compares it with what it was told before, and
//! answers with events. Ids are made of what is the same everywhere (a stamp, a ballot, the
//! observers' own clocks), never of when this agent noticed. An agent that starts tells of what it
//! finds only where that is not as it should be.

mod certificates;
mod money;
mod orders;
mod problems;
mod ramp;
#[cfg(test)]
mod tests;

use crate::{
    health::verdict::RegionVerdict,
    notify::alert::{Alert, AlertBook, AlertIdentity, Labels, MeshAlert},
    recovery::ramp::RecoveryPolicy,
};
use problems::ProblemKey;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::{AgentId, MeshName, RegionName},
    models::catalogue::Catalogue,
    plan::{CommittedPlan, Plan, Standing},
    register::ballot::Ballot,
    status::{condition::Condition, money::Notices, problem::Problem},
    text::is_unprintable,
};
use std::collections::{BTreeMap, BTreeSet};

/// Longest text of a peer that an event or alert quotes, characters.
const QUOTED_MAX: usize = 1_000;
/// How long nobody must lead until that is an event, milliseconds: elections take less.
const LEADERLESS_MS: u64 = crate::notify::duty::LEADERLESS_MS;
/// Where nobody tells when something began, agents that notice it within this time mean the same,
/// milliseconds.
const COARSE_MS: u64 = 10_000;

/// The verdict on a region and the point in time at which enough observers had come to it, by their
/// own clocks.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The region.
    pub region: &'a RegionName,
    /// The verdict.
    pub verdict: &'a RegionVerdict,
    /// See [`agreed_since`]; none if the verdict does not rest on observers.
    pub since_ms: Option<u64>,
}

/// How a DNS provider's zone does, as the agent that writes it sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoneState {
    /// The plan that was last written, or to be written.
    pub plan: String,
    /// Why it was refused, if a later plan stands in the zone.
    pub fenced: Option<String>,
    /// Record sets that somebody else changed since it was written.
    pub drift: Vec<String>,
}

/// From when to when a certificate is valid, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before_s: i64,
    /// Last second.
    pub not_after_s: i64,
}

/// When a majority of the observing regions had come to a conclusion, by their own clocks: the same
/// number at every agent that holds the same observations. `agreeing` are the regions and since
/// when each of their observers concludes so; `voters` is how many regions have an opinion.
pub fn agreed_since<'a>(
    agreeing: impl Iterator<Item = (&'a RegionName, u64)>,
    voters: usize,
) -> Option<u64> {
    let mut first: BTreeMap<&RegionName, u64> = BTreeMap::new();
    for (region, since_ms) in agreeing {
        first
            .entry(region)
            .and_modify(|known| *known = (*known).min(since_ms))
            .or_insert(since_ms);
    }

    let mut all: Vec<u64> = first.into_values().collect();
    all.sort_unstable();
    all.get(voters / 2).or(all.last()).copied()
}

/// Compares, and tells.
#[derive(Debug)]
pub struct Journal {
    mesh: MeshName,
    own: AgentId,
    recovery: RecoveryPolicy,
    book: AlertBook,
    conditions: BTreeMap<RegionName, Condition>,
    plan: Option<CommittedPlan>,
    leader: Option<Ballot>,
    /// Since when nobody leads.
    leaderless_ms: Option<u64>,
    zones: BTreeMap<String, ZoneState>,
    conflicts: Option<BTreeSet<(String, String)>>,
    expiring: BTreeSet<(AgentId, i64, MeshAlert)>,
    problems: BTreeMap<ProblemKey, Problem>,
    notices: Notices,
}

impl Journal {
    /// An empty journal of the agent `own`.
    pub fn new(mesh: MeshName, own: AgentId, recovery: RecoveryPolicy) -> Self {
        Self {
            mesh,
            own,
            recovery,
            book: AlertBook::default(),
            conditions: BTreeMap::new(),
            plan: None,
            leader: None,
            leaderless_ms: None,
            zones: BTreeMap::new(),
            conflicts: None,
            expiring: BTreeSet::new(),
            problems: BTreeMap::new(),
            notices: Notices::default(),
        }
    }

    /// What is the case, and what lately ceased to be.
    pub fn alerts(&self) -> &AlertBook {
        &self.book
    }

    /// A verdict, changed or not.
    pub fn verdict(&mut self, judged: Judged<'_>, now_ms: u64) -> Option<Event> {
        let Judged {
            region,
            verdict,
            since_ms,
        } = judged;
        let before = self.conditions.get(region).copied();
        let after = verdict.condition;
        let began_ms = since_ms.unwrap_or(verdict.since_ms);

        match after {
            Condition::Failed => {
                let about = [("region", region.as_str())];
                let summary = format!("region {region} does not serve");
                self.raise(
                    EventKind::Verdict,
                    MeshAlert::RegionFailed,
                    &about,
                    summary,
                    &verdict.reason,
                    began_ms,
                );
            }
            Condition::Healthy | Condition::Draining => {
                self.book
                    .end(MeshAlert::RegionFailed.name(), now_ms, |labels| {
                        labels["region"] == region.as_str()
                    });
            }
            // Whoever knows nothing, or doubts, does not know that it is over.
            Condition::Unknown | Condition::Suspect => {}
        }

        if before == Some(after) {
            return None;
        }
        self.conditions.insert(region.clone(), after);

        let was_known = before.is_some_and(|before| before != Condition::Unknown);
        if !was_known && matches!(after, Condition::Unknown | Condition::Healthy) {
            return None;
        }

        let severity = match after {
            Condition::Failed => Severity::Critical,
            Condition::Suspect | Condition::Unknown => Severity::Warning,
            Condition::Healthy | Condition::Draining => Severity::Info,
        };
        let mark = since_ms.unwrap_or(verdict.since_ms / COARSE_MS * COARSE_MS);
        let mut fields: BTreeMap<_, _> = [("condition", after.to_string())].into();

        fields.extend(before.map(|before| ("before", before.to_string())));
        Some(Event {
            id: format!("verdict:{region}:{after}:{mark}"),
            kind: EventKind::Verdict,
            severity,
            time_ms: began_ms,
            region: Some(region.clone()),
            fields,
            text: quoted(&format!("{region} is {after}: {}", verdict.reason)),
            witness: None,
        })
    }

    /// The last committed plan, changed or not.
    pub fn plan(&mut self, committed: &CommittedPlan, now_ms: u64) -> Vec<Event> {
        if self
            .plan
            .as_ref()
            .is_some_and(|known| known.stamp >= committed.stamp)
        {
            return Vec::new();
        }

        let before = self.plan.replace(committed.clone());
        let before = before.as_ref().map(|before| &before.plan);
        let plan = &committed.plan;
        let mut fields: BTreeMap<_, _> = [
            ("seq", committed.stamp.seq.to_string()),
            ("ballot", committed.stamp.ballot.number.to_string()),
            ("leader", committed.stamp.ballot.agent.to_string()),
        ]
        .into();

        fields.insert("shares", shares(plan));
        let takes_out = |before: &Plan| {
            let loses = |(name, part): (&RegionName, &regionmesh_protocol::plan::RegionPlan)| {
                let had = before
                    .regions
                    .get(name)
                    .is_some_and(|part| part.weight_bp > 0);
                (had && part.weight_bp == 0) || matches!(part.standing, Standing::Limited { .. })
            };

            plan.regions.iter().any(loses)
        };

        let is_worse = before.is_some_and(takes_out) || plan.shortfall.is_some();
        let mut events = vec![Event {
            id: format!("plan:{}", stamp(committed)),
            kind: EventKind::Plan,
            severity: if is_worse {
                Severity::Warning
            } else {
                Severity::Info
            },
            time_ms: plan.made_ms,
            region: None,
            fields,
            text: quoted(&format!(
                "plan #{} is committed: {}",
                committed.stamp.seq, plan.reason
            )),
            witness: None,
        }];

        match plan.shortfall {
            Some(short) => {
                let summary = MeshAlert::CapacityShort.row().summary.to_owned();
                let told = format!(
                    "{} of {} requests/s stay where they should not",
                    short.unmoved_rps, short.load_rps
                );

                self.raise(
                    EventKind::Plan,
                    MeshAlert::CapacityShort,
                    &[],
                    summary,
                    &told,
                    plan.made_ms,
                );
            }
            None => self
                .book
                .end(MeshAlert::CapacityShort.name(), now_ms, |_| true),
        }

        events.extend(self.yielded(committed, before, now_ms));
        self.all_failed(plan, now_ms);
        if let Some(before) = before {
            for (name, part) in &plan.regions {
                let was = before.regions.get(name).map(|part| &part.standing);
                events.extend(self.climb(committed, name, was, part, now_ms));
            }
        }

        events
    }

    /// Who leads, changed or not; to be told at least once a second.
    pub fn leader(&mut self, leader: Option<&Ballot>, now_ms: u64) -> Option<Event> {
        let Some(leader) = leader else {
            let since_ms = *self.leaderless_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) < LEADERLESS_MS
                || self
                    .book
                    .holds(MeshAlert::NoLeader.name(), "mesh", &self.mesh.to_string())
            {
                return None;
            }

            let summary = "nobody leads: the plan can't be changed".to_owned();
            let told = format!(
                "{} has known of no leader for {} s",
                self.own,
                LEADERLESS_MS / 1_000
            );

            self.raise(
                EventKind::Leader,
                MeshAlert::NoLeader,
                &[],
                summary.clone(),
                &told,
                since_ms,
            );

            let last = self.leader.as_ref().map_or_else(|| "none".into(), ballot);
            return Some(Event {
                id: format!("leader:lost:{last}"),
                kind: EventKind::Leader,
                severity: Severity::Critical,
                time_ms: since_ms,
                region: None,
                fields: [("last", last)].into(),
                text: summary,
                witness: None,
            });
        };

        self.leaderless_ms = None;
        self.book.end(MeshAlert::NoLeader.name(), now_ms, |_| true);
        if self.leader.as_ref() == Some(leader) {
            return None;
        }

        let before = self.leader.replace(leader.clone());
        let mut fields: BTreeMap<_, _> = [
            ("leader", leader.agent.to_string()),
            ("ballot", leader.number.to_string()),
        ]
        .into();

        fields.extend(before.map(|before| ("before", before.agent.to_string())));
        Some(Event {
            id: format!("leader:{}", ballot(leader)),
            kind: EventKind::Leader,
            severity: Severity::Info,
            time_ms: now_ms,
            region: Some(leader.agent.region.clone()),
            fields,
            text: format!("{} leads, by ballot {}", leader.agent, leader.number),
            witness: None,
        })
    }

    /// How a provider's zone does, changed or not. Only the agent that writes it knows.
    pub fn zone(&mut self, provider: &str, state: &ZoneState, now_ms: u64) -> Vec<Event> {
        let before = self
            .zones
            .insert(provider.into(), state.clone())
            .unwrap_or_default();
        let own = self.own.to_string();
        let about = [("provider", provider), ("agent", &*own)];
        let mut events = Vec::new();
        let mut tell = |kind, severity, id: String, text: String| {
            events.push(Event {
                id: format!("{id}:{own}"),
                kind,
                severity,
                time_ms: now_ms,
                region: None,
                fields: [
                    ("provider", provider.to_owned()),
                    ("plan", state.plan.clone()),
                ]
                .into(),
                text: quoted(&text),
                witness: Some(self.own.clone()),
            });
        };

        if let Some(why) = &state.fenced
            && (before.fenced.is_none() || before.plan != state.plan)
        {
            let text = format!("{} was fenced off from {provider}: {why}", self.own);
            tell(
                EventKind::FenceLost,
                Severity::Warning,
                format!("fence-lost:{provider}:{}", state.plan),
                text,
            );
        }

        if !state.drift.is_empty() && before.drift != state.drift {
            let text = format!(
                "{provider} is not as the plan wants it: {}",
                state.drift.join("; ")
            );
            let mark = blake3::hash(state.drift.join("\n").as_bytes()).to_hex();

            tell(
                EventKind::Drift,
                Severity::Warning,
                format!("drift:{provider}:{}:{:.16}", state.plan, mark),
                text,
            );
        }

        let conditions = [
            (
                MeshAlert::FenceLost,
                EventKind::FenceLost,
                state.fenced.clone(),
                "an agent that leads may not write to",
            ),
            (
                MeshAlert::ZoneDrift,
                EventKind::Drift,
                (!state.drift.is_empty()).then(|| state.drift.join("; ")),
                "somebody else changed records in",
            ),
        ];

        for (alert, kind, told, what) in conditions {
            match told {
                Some(told) => self.raise(
                    kind,
                    alert,
                    &about,
                    format!("{what} {provider}"),
                    &told,
                    now_ms,
                ),
                None => self.book.end(alert.name(), now_ms, |labels| {
                    labels["provider"] == provider
                }),
            }
        }

        events
    }

    /// What the region holds, changed or not. What an agent finds at its start is no news, but it
    /// is the case.
    pub fn catalogue(&mut self, catalogue: &Catalogue, now_ms: u64) -> Vec<Event> {
        let conflicts = catalogue
            .versions
            .iter()
            .filter(|version| version.version.is_conflict());
        let all: BTreeMap<_, _> = conflicts
            .map(|loser| ((loser.model.to_string(), loser.version.to_string()), loser))
            .collect();
        let known = self.conflicts.replace(all.keys().cloned().collect());
        let mut events = Vec::new();

        for ((model, version), loser) in &all {
            let about = [("model", model.as_str()), ("version", version.as_str())];
            let summary = format!(
                "two regions published different content as {model}@{}",
                loser.version.base()
            );
            let told = format!(
                "the later one, of {}, is kept as {model}@{version}; delete one of both",
                loser.origin
            );
            let since_ms = loser.published.wall_ms;

            self.raise(
                EventKind::Conflict,
                MeshAlert::ModelConflict,
                &about,
                summary.clone(),
                &told,
                since_ms,
            );

            if known
                .as_ref()
                .is_none_or(|known| known.contains(&(model.clone(), version.clone())))
            {
                continue;
            }

            events.push(Event {
                id: format!("conflict:{model}:{version}:{}", loser.content),
                kind: EventKind::Conflict,
                severity: Severity::Warning,
                time_ms: since_ms,
                region: Some(loser.origin.clone()),
                fields: [("model", model.clone()), ("version", version.clone())].into(),
                text: quoted(&format!("{summary}: {told}")),
                witness: None,
            });
        }

        self.book
            .end(MeshAlert::ModelConflict.name(), now_ms, |labels| {
                !all.contains_key(&(labels["model"].clone(), labels["version"].clone()))
            });

        events
    }

    /// Forgets what is over.
    pub fn forget(&mut self, now_ms: u64) {
        self.book.forget(now_ms);
    }

    /// Raises an alert, or tells more of one that holds.
    fn raise(
        &mut self,
        kind: EventKind,
        alert: impl Into<AlertIdentity>,
        about: &[(&'static str, &str)],
        summary: String,
        told: &str,
        starts_ms: u64,
    ) {
        let AlertIdentity { name, severity } = alert.into();
        let mut labels: Labels = about
            .iter()
            .map(|(label, value)| (*label, (*value).to_owned()))
            .collect();

        labels.insert("alertname", name.into());
        labels.insert("mesh", self.mesh.to_string());
        labels.insert("severity", severity.to_string());

        let witness =
            matches!(kind, EventKind::FenceLost | EventKind::Drift).then(|| self.own.clone());
        let description = quoted(told);

        self.book.raise(Alert {
            labels,
            kind,
            severity,
            summary,
            description,
            starts_ms,
            ended_ms: None,
            witness,
        });
    }
}

/// A stamp without spaces, the boot number included: what no two plans share.
fn stamp(committed: &CommittedPlan) -> String {
    format!(
        "{}#{}",
        ballot(&committed.stamp.ballot),
        committed.stamp.seq
    )
}

fn ballot(ballot: &Ballot) -> String {
    format!("{ballot}.{:x}", ballot.boot)
}

/// Each region's share, for one line of text.
fn shares(plan: &Plan) -> String {
    let shares = plan
        .shares()
        .into_iter()
        .map(|(region, share)| format!("{region} {:.1} %", share * 100.0));
    shares.collect::<Vec<_>>().join(", ")
}

/// Text that partly comes from peers, safe in a line of JSON or on a terminal.
fn quoted(text: &str) -> String {
    text.chars()
        .map(|c| if is_unprintable(c) { ' ' } else { c })
        .take(QUOTED_MAX)
        .collect()
}
