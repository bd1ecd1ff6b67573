//! Log lines and metrics of what the leader part reports.

use super::metrics::LeaderMetrics;
use regionmesh_core::leader::{
    ElectionNotice, Notice, OrderNotice, PlanNotice, RegisterNotice, proposer::StepDown,
};
use regionmesh_protocol::{identity::RegionName, register::members::MemberChange};

/// Logs and counts a notice.
pub(crate) fn record(notice: &Notice, metrics: &LeaderMetrics) {
    match notice {
        Notice::Election(notice) => record_election(notice, metrics),
        Notice::Register(notice) => record_register(notice, metrics),
        Notice::Order(notice) => record_order(notice, metrics),
        Notice::Plan(notice) => record_plan(notice, metrics),
        Notice::ClockSet(by_ms) => {
            metrics.clock.steps.inc();
            tracing::warn!(
                by_ms,
                "this machine's clock was set; orders, cool-downs and ramps continue by the \
                    monotonic clock"
            );
        }
        Notice::ClockAhead(ahead_ms) => metrics.clock.ahead.set(*ahead_ms as f64 / 1e3),
        Notice::PlanShifted(shift_ms) => tracing::info!(
            shift_ms,
            "the plan's times are shifted by this much to match our clock"
        ),
        Notice::LeftOut {
            region,
            is_left_out,
            is_news,
        } => {
            metrics
                .frozen
                .left_out
                .with_label_values(&[region.as_str()])
                .set(i64::from(*is_left_out));

            if *is_news && *is_left_out {
                tracing::warn!(%region, "the plan is frozen: DNS leaves out a region that refuses \
                    this agent's probes");
            } else if *is_news {
                tracing::info!(%region, "DNS answers a region that it had left out");
            }
        }
    }
}

fn record_election(notice: &ElectionNotice, metrics: &LeaderMetrics) {
    let count = |outcome: &str| {
        let elections = &metrics.election.elections;
        elections.with_label_values(&[outcome]).inc();
    };

    match notice {
        ElectionNotice::VoteAsked {
            ballot,
            is_granted,
            reason,
        } => tracing::debug!(%ballot, granted = is_granted, %reason, "asked for our vote"),
        ElectionNotice::VoteRefused {
            from,
            ballot,
            reason,
        } => tracing::debug!(%from, %ballot, %reason, "vote refused"),
        ElectionNotice::NoVote {
            from,
            ballot,
            error,
        } => tracing::debug!(%from, %ballot, %error, "no vote"),
        ElectionNotice::AskingForVotes(ballot) => {
            count("asked");
            tracing::debug!(%ballot, "no leader is seen; asking for votes");
        }
        ElectionNotice::Campaigning(ballot) => {
            count("stood");
            tracing::info!(%ballot, "campaigning for leadership");
        }
        ElectionNotice::CannotCampaign(error) => {
            tracing::warn!(%error, "cannot campaign for leadership");
        }
        ElectionNotice::Elected(ballot) => {
            count("won");
            tracing::info!(%ballot, "elected leader");
        }
        ElectionNotice::SteppedDown { ballot, reason } => {
            let label = match reason {
                StepDown::Outranked(_) => "outranked",
                StepDown::NoMajority { .. } => "no-majority",
                StepDown::Objections => "objections",
                StepDown::Removed => "removed",
            };
            let step_downs = &metrics.election.step_downs;

            step_downs.with_label_values(&[label]).inc();
            tracing::warn!(%ballot, %reason, "stepped down");
        }
        ElectionNotice::Highest(ballot) => {
            let number = ballot.as_ref().map_or(0, |ballot| ballot.number);
            let gauge = &metrics.register.ballot;
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}

fn record_register(notice: &RegisterNotice, metrics: &LeaderMetrics) {
    let register = &metrics.register;
    match notice {
        RegisterNotice::Silent { from, error } => {
            let failed = &register.calls_failed;
            failed.with_label_values(&[from.as_str()]).inc();
            tracing::debug!(acceptor = %from, %error, "an acceptor did not answer");
        }
        RegisterNotice::Committed {
            stamp,
            reason,
            duration,
        } => {
            register.commits.inc();
            if let Some(duration) = duration {
                register.commit_duration.observe(duration.as_secs_f64());
            }
            tracing::info!(%stamp, seq = stamp.seq, %reason, ?duration, "plan committed");
        }
        RegisterNotice::NotProposed(error) => {
            tracing::error!(%error, "a plan could not be proposed");
        }
        RegisterNotice::Objected { .. }
        | RegisterNotice::Unjustified { .. }
        | RegisterNotice::Dropped(_)
        | RegisterNotice::PassedOver(_) => record_objection(notice, metrics),
        RegisterNotice::Renewing(stamp) => {
            tracing::info!(%stamp, "committing the plan again for newer signatures");
        }
        RegisterNotice::NotRenewed(error) => {
            tracing::warn!(%error, "the plan can't be committed again");
        }
        RegisterNotice::CaughtUp {
            region,
            incarnation,
        } => tracing::info!(%region, %incarnation, "an acceptor has caught up"),
        RegisterNotice::NotJoined { region, why } => {
            tracing::warn!(%region, %why, "a member without a vote could not join; retrying");
        }
        RegisterNotice::LostState(region) => tracing::error!(
            %region,
            "the acceptor of this region lost its state (slots of the register were deleted from \
                its store): it has no vote until it has joined again"
        ),
        RegisterNotice::Changing(change) => {
            let changes = &register.member_changes;
            changes.with_label_values(&[name_of(change)]).inc();
        }
        RegisterNotice::NotChanged(error) => {
            tracing::warn!(%error, "a change of members is no longer possible");
        }
        RegisterNotice::Members { .. }
        | RegisterNotice::NotAsConfigured { .. }
        | RegisterNotice::Even(_)
        | RegisterNotice::NotAutomatic(_) => log_members(notice),
    }
}

/// Logs and counts what speaks against plans.
fn record_objection(notice: &RegisterNotice, metrics: &LeaderMetrics) {
    let register = &metrics.register;
    match notice {
        RegisterNotice::Objected { stamp, objection } => {
            let objections = &register.objections;
            objections.with_label_values(&[objection.reason()]).inc();
            tracing::warn!(%stamp, %objection, "did not accept a leader's plan");
        }
        RegisterNotice::Unjustified { from, stamp, why } => {
            tracing::warn!(acceptor = %from, %stamp, %why, "objects to this leader's plan");
        }
        RegisterNotice::Dropped(stamp) => {
            register.plans_dropped.inc();
            tracing::warn!(%stamp, "gave up this plan after objections; making another");
        }
        RegisterNotice::PassedOver(stamp) => {
            register.plans_dropped.inc();
            tracing::warn!(%stamp, "passed over a value found in promises, after objections");
        }
        _ => {}
    }
}

/// Logs the members and what they mean for automatic failover.
fn log_members(notice: &RegisterNotice) {
    let words =
        |names: &[RegionName]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };

    match notice {
        RegisterNotice::Members {
            members,
            without_vote,
        } => tracing::info!(
            members = ?words(members), without_vote = ?words(without_vote),
            "the register's members"
        ),
        RegisterNotice::NotAsConfigured {
            members,
            configured,
        } => tracing::warn!(
            members = ?words(members), configured = ?words(configured),
            "the register's members are not those of the configuration: the register says who \
                votes and gets traffic; see `regionmesh failover members`"
        ),
        RegisterNotice::Even(members) => tracing::warn!(
            members,
            "the register has an even number of acceptors; the last one adds no fault tolerance"
        ),
        RegisterNotice::NotAutomatic(why) => tracing::error!("{why}"),
        _ => {}
    }
}

fn name_of(change: &MemberChange) -> &'static str {
    match change {
        MemberChange::Join(..) => "join",
        MemberChange::Suspend(_) => "suspend",
        MemberChange::Remove(_) => "remove",
        MemberChange::Rename(..) => "rename",
    }
}

fn record_order(notice: &OrderNotice, metrics: &LeaderMetrics) {
    match notice {
        OrderNotice::Received(order) => tracing::info!(
            action = ?order.action,
            region = ?order.region.as_ref().map(RegionName::as_str),
            by = ?order.by,
            why = ?order.why,
            for_ms = order.for_ms,
            "ordered"
        ),
        OrderNotice::Refused(error) => tracing::info!(%error, "an order is refused"),
        OrderNotice::Ended(outcome) => {
            let label: &str = outcome.into();
            metrics.orders.orders.with_label_values(&[label]).inc();
        }
    }
}

fn record_plan(notice: &PlanNotice, metrics: &LeaderMetrics) {
    match notice {
        PlanNotice::Adopted { stamp, reason } => {
            metrics.committed.adopted.inc();
            tracing::info!(%stamp, %reason, "plan adopted");
        }
        PlanNotice::Unconfirmed(waited) => tracing::warn!(
            ?waited,
            "no other region confirms the plan; continuing with the saved one"
        ),
        PlanNotice::Withdrawn { stamp, reason } => tracing::error!(
            %stamp, %reason,
            "the plan saved on disk was never committed; using the register's"
        ),
        PlanNotice::Unproven(stamp) => tracing::warn!(
            %stamp,
            "the plan in the data directory has neither a valid certificate nor this agent's \
                signature; waiting for the register's"
        ),
        PlanNotice::UnknownAddress {
            region,
            addresses,
            stamp,
        } => tracing::warn!(
            %region, ?addresses, %stamp, "left out of DNS answers: not in the configuration"
        ),
        PlanNotice::NoCostShift(why) => tracing::info!(why, "traffic.cost moves no traffic"),
    }
}
