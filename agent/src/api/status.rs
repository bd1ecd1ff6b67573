//! The whole mesh in one answer, from the snapshots: pure, no actor is asked.

use crate::{config::Config, servability, snapshots::Snapshots};
use regionmesh_client::{
    AddressSeen, AddressStatus, AgentStatus, BallotStatus, FrozenStatus, HoldingsStatus,
    LeaderStatus, LinkStatus, ModelStatus, ObservationStatus, OverrideStatus, PlanDetail,
    PlanStatus, PlannedRegion, ProblemStatus, RegionStatus, Status, UnservableStatus,
    VerdictStatus, VersionStatus, VoteStatus, YieldedStatus,
};
use regionmesh_core::{
    gossip::{AgentView, BoardView},
    health::verdict::{AddressVerdict, RegionVerdict},
    planning::{forecast, servability::RegionState},
};
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::{AliasEntry, Catalogue},
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
    plan::{CommittedPlan, Plan, RegionPlan, TrafficState, YieldedOrder},
    status::{
        AgentInfo, Holdings, StatusEntry, StatusKind,
        condition::{AddressObservation, Condition},
        problem::PROBLEMS_MAX,
    },
    text::visible,
};
use regionmesh_runtime::time::unix_ms;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// The state of the mesh as this agent knows it.
pub fn status(config: &Config, snapshots: &Snapshots) -> Status {
    let now_ms = unix_ms();
    let plan = snapshots.plan_by_own_clock();
    let leader = snapshots.leader.borrow().clone();

    Status {
        mesh: config.mesh.to_string(),
        answered_by: config.id().to_string(),
        answered_ms: now_ms,
        plan: plan
            .as_ref()
            .map(|committed| plan_in_brief(committed, now_ms)),
        leader: leader.ballot.map(|ballot| LeaderStatus {
            agent: ballot.agent.to_string(),
            ballot: ballot.number,
        }),
        regions: regions(
            config,
            snapshots,
            plan.as_ref().map(|committed| &committed.plan),
        ),
        agents: agents(snapshots, now_ms),
        models: models(config, snapshots),
        problems: problems(&snapshots.board.borrow()),
        orders: plan
            .map(|committed| orders(&committed.plan, now_ms))
            .unwrap_or_default(),
        frozen: frozen(snapshots),
    }
}

/// Why the plan can't change; none if it can.
pub(super) fn frozen(snapshots: &Snapshots) -> Option<FrozenStatus> {
    let freeze = snapshots.freeze.borrow().clone()?;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Some(FrozenStatus {
        since_ms: freeze.since_ms,
        reachable: count(freeze.reachable),
        members: count(freeze.members),
        left_out: freeze
            .local
            .iter()
            .flat_map(|local| local.left_out.iter().cloned())
            .collect(),
        detail: freeze.detail.clone(),
    })
}

/// The verdict on every region of the configuration.
pub(super) fn verdicts(config: &Config, snapshots: &Snapshots) -> Vec<VerdictStatus> {
    let verdicts = snapshots.verdicts.borrow().clone();
    let status = |region: &crate::config::RegionConfig| {
        let verdict = verdicts.get(&region.name);
        VerdictStatus {
            region: region.name.clone(),
            verdict: verdict.map_or(Condition::Unknown, |verdict| verdict.condition),
            since_ms: verdict.map_or(0, |verdict| verdict.since_ms),
            reason: verdict
                .map(|verdict| verdict.reason.clone())
                .unwrap_or_default(),
        }
    };

    config.regions.iter().map(status).collect()
}

/// What operators ordered and stands.
fn orders(plan: &Plan, now_ms: u64) -> Vec<OverrideStatus> {
    plan.overrides
        .iter()
        .map(|traffic_state| OverrideStatus::of(traffic_state, now_ms))
        .collect()
}

/// The problems of every living agent, the most urgent first.
fn problems(board: &BoardView) -> Vec<ProblemStatus> {
    let mut all = Vec::new();
    for (id, view) in board.agents.iter().filter(|(_, view)| view.is_alive) {
        let Some(StatusEntry::Problems(problems)) = status_entry(view, StatusKind::Problems) else {
            continue;
        };
        all.extend(
            problems
                .iter()
                .take(PROBLEMS_MAX)
                .map(|problem| ProblemStatus {
                    region: id.region.clone(),
                    agent: id.to_string(),
                    kind: problem.kind,
                    severity: problem.kind.severity(),
                    subject: problem.subject.clone(),
                    detail: problem.detail.clone(),
                    since_ms: problem.since_ms,
                }),
        );
    }

    all.sort_by_key(|problem| (Reverse(problem.severity), problem.since_ms));
    all
}

fn plan_in_brief(committed: &CommittedPlan, now_ms: u64) -> PlanStatus {
    let CommittedPlan { stamp, plan } = committed;
    PlanStatus {
        seq: stamp.seq,
        ballot: BallotStatus {
            number: stamp.ballot.number,
            agent: stamp.ballot.agent.to_string(),
        },
        reason: visible(&plan.reason).into_owned(),
        made_ms: plan.made_ms,
        age_ms: now_ms.saturating_sub(plan.made_ms),
        all_failed_ms: plan.all_failed_ms,
        yielded: plan
            .yielded
            .iter()
            .filter_map(|yielded| yielded_status(plan, yielded))
            .collect(),
    }
}

fn yielded_status(plan: &Plan, yielded: &YieldedOrder) -> Option<YieldedStatus> {
    let order = plan.override_of(yielded.order.as_ref())?.to_string();
    Some(YieldedStatus {
        order,
        region: yielded.region.clone(),
        since_ms: yielded.since_ms,
    })
}

/// The committed plan; none before the first.
pub fn plan(config: &Config, snapshots: &Snapshots) -> Option<PlanDetail> {
    let committed = snapshots.plan_by_own_clock()?;
    Some(plan_detail(config, &committed))
}

/// A committed plan in full.
pub(super) fn plan_detail(config: &Config, committed: &CommittedPlan) -> PlanDetail {
    let now_ms = unix_ms();
    PlanDetail {
        brief: plan_in_brief(committed, now_ms),
        regions: planned_regions(config, &committed.plan),
        overrides: orders(&committed.plan, now_ms),
        shortfall: committed.plan.shortfall.map(Into::into),
    }
}

/// Every region's part of a plan.
pub(super) fn planned_regions(config: &Config, plan: &Plan) -> Vec<PlannedRegion> {
    let shares = plan.shares();
    let region = |(name, planned): (&RegionName, &RegionPlan)| PlannedRegion {
        region: name.clone(),
        weight_bp: planned.weight_bp,
        share: shares.get(name).copied().unwrap_or(0.0),
        traffic_state: planned.traffic_state.as_str().into(),
        since_ms: planned.traffic_state.since_ms(),
        ramp_percent: ramp_percent(config, &planned.traffic_state),
        addresses: planned.addresses.clone(),
        flaps: planned.flaps,
        failed_ms: Some(planned.failed_ms).filter(|&ms| ms > 0),
    };

    plan.regions.iter().map(region).collect()
}

fn ramp_percent(config: &Config, traffic_state: &TrafficState) -> Option<u8> {
    match traffic_state {
        TrafficState::Ramping { step, .. } => Some(config.recovery.percent_at(*step)),
        _ => None,
    }
}

/// What each agent saw last of one region's endpoint.
fn observations(board: &BoardView, region: &RegionName) -> Vec<ObservationStatus> {
    let seen = board
        .agents
        .iter()
        .filter(|(_, view)| view.is_alive)
        .filter_map(|(id, view)| {
            let seen = view.status_entries.get(&StatusKind::Observations)?;
            let StatusEntry::Observations(all) = &*seen.status_entry else {
                return None;
            };
            let observation = all
                .regions
                .iter()
                .find(|observation| observation.region == *region)?;

            Some(ObservationStatus {
                observer: id.to_string(),
                condition: observation.condition,
                evidence: observation.evidence.clone(),
                since_ms: observation.since_ms,
                round_trip_us: observation.round_trip_us,
                addresses: observation.addresses.iter().map(address_seen).collect(),
                age_ms: millis(seen.seen_at.elapsed()),
            })
        });

    seen.collect()
}

fn address_seen(seen: &AddressObservation) -> AddressSeen {
    AddressSeen {
        address: seen.address,
        condition: seen.condition,
        evidence: seen.evidence.clone(),
        since_ms: seen.since_ms,
        probed_ms: seen.probed_ms,
        round_trip_us: seen.round_trip_us,
        quantile_us: seen.quantile_us,
        error_bp: seen.error_bp,
        inference: seen.inference,
    }
}

/// The verdict on each address, and whether it is among those that are `answered`.
fn address_verdicts(verdict: Option<&RegionVerdict>, answered: &[IpAddr]) -> Vec<AddressStatus> {
    let judged = verdict
        .map(|verdict| verdict.addresses.as_slice())
        .unwrap_or_default()
        .iter();
    let status = |judged: &AddressVerdict| AddressStatus {
        address: judged.address,
        verdict: judged.condition,
        since_ms: judged.since_ms,
        reason: judged.reason.clone(),
        answered: answered.contains(&judged.address),
    };

    judged.map(status).collect()
}

pub(super) fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

/// The status of every region. The times of `plan`, the committed one, must be by this agent's
/// clock.
pub fn regions(config: &Config, snapshots: &Snapshots, plan: Option<&Plan>) -> Vec<RegionStatus> {
    let shares = plan.map(Plan::shares).unwrap_or_default();
    let is_member = |name: &RegionName| plan.is_none_or(|plan| plan.members.may_serve(name));
    let inputs = snapshots.plan_inputs.borrow().clone();
    let verdicts = snapshots.verdicts.borrow().clone();
    let board = snapshots.board.borrow().clone();
    let region = |region: &crate::config::RegionConfig| {
        let planned = plan.and_then(|plan| plan.regions.get(&region.name));
        let verdict = verdicts.get(&region.name);
        let input = inputs
            .as_ref()
            .and_then(|inputs| inputs.regions.get(&region.name));
        let votes = verdict
            .map(|verdict| verdict.votes.as_slice())
            .unwrap_or_default()
            .iter();

        let votes = votes.map(|(region, condition)| VoteStatus {
            region: region.clone(),
            condition: *condition,
        });
        let addresses = planned.map_or_else(
            || region.dns_addresses(),
            |planned| planned.addresses.clone(),
        );
        let ttl_ms = u64::from(config.dns.ttl_s).saturating_mul(1_000);
        let forecast = planned.and_then(|planned| forecast(planned, &config.recovery, ttl_ms));

        RegionStatus {
            region: region.name.clone(),
            cloud: region.cloud.clone(),
            endpoint: region.endpoint.clone(),
            serving_url: region.serving_url.clone(),
            verdict: verdict.map_or(Condition::Unknown, |verdict| verdict.condition),
            verdict_since_ms: verdict.map_or(0, |verdict| verdict.since_ms),
            verdict_reason: verdict
                .map(|verdict| verdict.reason.clone())
                .unwrap_or_default(),
            votes: votes.collect(),
            observations: observations(&board, &region.name),
            weight_bp: planned.map_or(0, |planned| planned.weight_bp),
            share: shares.get(&region.name).copied().unwrap_or(0.0),
            traffic_state: match planned {
                Some(planned) => planned.traffic_state.as_str(),
                None if is_member(&region.name) => "unplanned",
                None => "not a member",
            }
            .into(),
            ramp_percent: planned.and_then(|planned| ramp_percent(config, &planned.traffic_state)),
            ramp_starts_ms: forecast.and_then(|forecast| forecast.ramp_ms),
            full_share_ms: forecast.map(|forecast| forecast.full_ms),
            address_verdicts: address_verdicts(verdict, &addresses),
            addresses,
            flaps: planned.map_or(0, |planned| planned.flaps),
            load_rps: input.and_then(|input| input.load_rps),
            capacity_rps: input.map_or(region.capacity_rps, |input| input.capacity_rps),
            measured_capacity_rps: input.and_then(|input| input.measured_capacity_rps),
        }
    };

    config.regions.iter().map(region).collect()
}

fn status_entry(view: &AgentView, kind: StatusKind) -> Option<&StatusEntry> {
    view.status_entries
        .get(&kind)
        .map(|seen| &*seen.status_entry)
}

fn fact_name(kind: StatusKind) -> &'static str {
    match kind {
        StatusKind::Certificate => "certificate",
        StatusKind::Agent => "agent",
        StatusKind::Observations => "observations",
        StatusKind::Holdings => "holdings",
        StatusKind::Serving => "serving",
        StatusKind::Plan => "plan",
        StatusKind::Leader => "leader",
        StatusKind::Links => "links",
        StatusKind::Alerts => "alerts",
        StatusKind::Problems => "problems",
        StatusKind::Servability => "servability",
        StatusKind::Cost => "cost",
    }
}

fn agents(snapshots: &Snapshots, now_ms: u64) -> Vec<AgentStatus> {
    let board = snapshots.board.borrow().clone();
    let links = snapshots.links.borrow().clone();
    let unknown = AgentInfo {
        version: String::new(),
        started_ms: now_ms,
        boot: 0,
        api_url: String::new(),
        cloud: String::new(),
    };

    let agent = |(id, view): (&regionmesh_protocol::identity::AgentId, &AgentView)| {
        let about = match status_entry(view, StatusKind::Agent) {
            Some(StatusEntry::Agent(about)) => about,
            _ => &unknown,
        };
        let holdings = view
            .holdings()
            .map_or_else(HoldingsStatus::default, |held| {
                let Holdings {
                    version_count: versions,
                    missing,
                    lag_ms,
                    ..
                } = *held;

                HoldingsStatus {
                    versions,
                    missing,
                    lag_ms,
                    unknown: held.unknown.clone(),
                }
            });

        let (serving_ready, requests_total) = match status_entry(view, StatusKind::Serving) {
            Some(StatusEntry::Serving(serving)) => (serving.is_ready, serving.requests_total),
            _ => (false, 0),
        };

        // What a dead agent said last is not true any more.
        let (told_links, unreachable) = match status_entry(view, StatusKind::Links)
            .filter(|_| view.is_alive)
        {
            Some(StatusEntry::Links(links)) => (links.peers.as_slice(), links.unreachable.clone()),
            _ => (&[][..], Vec::new()),
        };
        let told_link = |(agent, round_trip_us): &(String, u64)| LinkStatus {
            agent: agent.clone(),
            round_trip_us: *round_trip_us,
        };

        let ages = view
            .status_entries
            .iter()
            .map(|(kind, seen)| (fact_name(*kind).into(), millis(seen.seen_at.elapsed())));
        let newest = view
            .status_entries
            .values()
            .map(|seen| seen.seen_at.elapsed())
            .min()
            .unwrap_or_default();

        AgentStatus {
            agent: id.to_string(),
            alive: view.is_alive,
            version: about.version.clone(),
            uptime_ms: if view.is_alive {
                now_ms.saturating_sub(about.started_ms)
            } else {
                0
            },
            api_url: about.api_url.clone(),
            cloud: about.cloud.clone(),
            round_trip_us: links.get(id).map(|link| link.round_trip_us),
            age_ms: millis(newest),
            serving_ready,
            requests_total,
            holdings,
            status_ages_ms: ages.collect(),
            links: told_links.iter().map(told_link).collect(),
            unreachable,
        }
    };

    board.agents.iter().map(agent).collect()
}

#[derive(Default)]
struct Known {
    versions: BTreeMap<(VersionName, Digest), BTreeSet<RegionName>>,
    aliases: BTreeMap<VersionName, AliasEntry>,
}

/// Every model that this region holds or a living agent says that its region holds, and the aliases
/// that this region has.
fn known_models(
    config: &Config,
    snapshots: &Snapshots,
    own: &Catalogue,
    board: &BoardView,
) -> BTreeMap<ModelName, Known> {
    let catalogues = snapshots.peer_catalogues.borrow().clone();
    let mut known: BTreeMap<ModelName, Known> = BTreeMap::new();
    let mut hold =
        |model: &ModelName, version: &VersionName, content: Digest, region: &RegionName| {
            let versions = &mut known.entry(model.clone()).or_default().versions;
            versions
                .entry((version.clone(), content))
                .or_default()
                .insert(region.clone());
        };

    for version in &own.versions {
        hold(
            &version.model,
            &version.version,
            version.content,
            &config.region,
        );
    }

    let others = holdings(board, &config.region);
    for (region, held) in &others {
        for (model, version, content) in &held.versions {
            hold(model, version, *content, region);
        }
        for version in unpublished(&catalogues, region, held) {
            hold(&version.model, &version.version, version.content, region);
        }
    }

    // What others say of aliases is one agent's word until it has been taken into our own store,
    // with proof.
    for entry in &own.aliases {
        known
            .entry(entry.model.clone())
            .or_default()
            .aliases
            .insert(entry.alias.clone(), entry.clone());
    }

    known.retain(|model, _| !model.is_internal());
    known
}

/// Every model, and where each of its versions is held and can be served.
pub fn models(config: &Config, snapshots: &Snapshots) -> Vec<ModelStatus> {
    let own = snapshots.catalogue.borrow().clone();
    let board = snapshots.board.borrow().clone();
    let model = |(model, known): (ModelName, Known)| {
        let version =
            |((version, content), regions): ((VersionName, Digest), BTreeSet<RegionName>)| {
                let summary = own
                    .version(&model, &version)
                    .filter(|summary| summary.content == content);
                let states =
                    servability::states(config, &board, &regions, (&model, &version, &content));
                let of = |is: fn(&RegionState) -> bool| {
                    states
                        .iter()
                        .filter(|(_, state)| is(state))
                        .map(|(region, _)| region.clone())
                        .collect()
                };

                VersionStatus {
                    version: version.to_string(),
                    content: content.to_string(),
                    size: summary.map(|summary| summary.size),
                    published_ms: summary.map(|summary| summary.published.wall_ms),
                    origin: summary.map(|summary| summary.origin.to_string()),
                    regions: regions.into_iter().collect(),
                    servable: of(|state| *state == RegionState::Servable),
                    unservable: states.iter().filter_map(unservable).collect(),
                    untested: of(|state| *state == RegionState::Untested),
                }
            };

        ModelStatus {
            model: model.to_string(),
            versions: known.versions.into_iter().map(version).collect(),
            aliases: known.aliases.into_values().map(Into::into).collect(),
        }
    };

    known_models(config, snapshots, &own, &board)
        .into_iter()
        .map(model)
        .collect()
}

fn unservable((region, state): (&RegionName, &RegionState)) -> Option<UnservableStatus> {
    match state {
        RegionState::Unservable(reason) => Some(UnservableStatus {
            region: region.clone(),
            reason: reason.clone(),
        }),
        _ => None,
    }
}

/// Where every region of the mesh stands with a version. Of several contents under one name the one
/// that this region holds counts, else the one that most regions hold.
pub(super) fn version_states(
    config: &Config,
    snapshots: &Snapshots,
    model: &ModelName,
    version: &VersionName,
) -> BTreeMap<RegionName, RegionState> {
    let board = snapshots.board.borrow().clone();
    let own = snapshots.catalogue.borrow().clone();
    let known = known_models(config, snapshots, &own, &board)
        .remove(model)
        .unwrap_or_default();
    let contents = known
        .versions
        .into_iter()
        .filter(|((name, _), _)| name == version);
    let rank = |holders: &BTreeSet<RegionName>| (holders.contains(&config.region), holders.len());
    let best = contents.max_by_key(|(_, holders)| rank(holders));

    let (content, holders) = best.map_or(
        (Digest([0; 32]), BTreeSet::new()),
        |((_, content), holders)| (content, holders),
    );
    let mut states = servability::states(config, &board, &holders, (model, version, &content));

    servability::members(snapshots, &mut states);
    states
}

/// The entries of a model's aliases that this region or a living agent of another knows.
pub(super) fn aliases(
    config: &Config,
    snapshots: &Snapshots,
    model: &ModelName,
) -> Vec<AliasEntry> {
    let own = snapshots.catalogue.borrow().clone();
    let board = snapshots.board.borrow().clone();
    let others = holdings(&board, &config.region);
    let entries = own
        .aliases
        .iter()
        .chain(others.iter().flat_map(|(_, held)| &held.aliases));

    entries
        .filter(|entry| entry.model == *model)
        .cloned()
        .collect()
}

/// The content of a version that a living agent says that its region holds, or that is in a
/// catalogue read from a region.
pub(super) fn content(
    snapshots: &Snapshots,
    model: &ModelName,
    version: &VersionName,
) -> Option<Digest> {
    let board = snapshots.board.borrow().clone();
    let held = board
        .agents
        .values()
        .filter(|view| view.is_alive)
        .filter_map(AgentView::holdings);
    let mut versions = held.flat_map(|held| &held.versions);
    let published = versions
        .find(|(m, v, _)| m == model && v == version)
        .map(|(_, _, content)| *content);
    let catalogues = snapshots.peer_catalogues.borrow().clone();

    published.or_else(|| {
        catalogues
            .values()
            .find_map(|catalogue| Some(catalogue.version(model, version)?.content))
    })
}

/// Where an agent names the newest versions of its region only: all that the region held when its
/// catalogue was read last.
fn unpublished<'a>(
    catalogues: &'a BTreeMap<RegionName, Arc<Catalogue>>,
    region: &RegionName,
    held: &Holdings,
) -> &'a [VersionSummary] {
    let has_more = held.version_count > held.versions.len() as u64;
    catalogues
        .get(region)
        .filter(|_| has_more)
        .map(|catalogue| catalogue.versions.as_slice())
        .unwrap_or_default()
}

/// What each other region's living agents say that it holds.
fn holdings<'a>(board: &'a BoardView, own: &RegionName) -> Vec<(&'a RegionName, &'a Holdings)> {
    let living = board
        .agents
        .iter()
        .filter(|(id, view)| view.is_alive && id.region != *own);

    living
        .filter_map(|(id, view)| Some((&id.region, view.holdings()?)))
        .collect()
}
