//! Log lines and metrics of what happens in gossip.

use super::metrics::GossipMetrics;
use prometheus::IntGauge;
use regionmesh_core::gossip::{Notice, SwimFault};

/// Logs and counts a notice.
pub(crate) fn record(notice: &Notice, metrics: &GossipMetrics) {
    count(notice, metrics);
    log(notice);
}

fn count(notice: &Notice, metrics: &GossipMetrics) {
    let count_exchange = |outcome: &str| metrics.exchanges.with_label_values(&[outcome]).inc();

    match notice {
        Notice::DatagramRefused { error, .. } => metrics
            .datagrams_refused
            .with_label_values(&[error.as_str()])
            .inc(),
        Notice::PublishFailed(_) => metrics.publish_failures.inc(),
        Notice::EntriesRejected { reason, count, .. } => metrics
            .entries_rejected
            .with_label_values(&[reason.as_str()])
            .inc_by(*count),
        Notice::ExchangeAnswered => count_exchange("answered"),
        Notice::Exchanged => count_exchange("ok"),
        Notice::ExchangeRefused { .. } => count_exchange("refused_malformed"),
        Notice::ExchangeFailed { error, .. } => count_exchange(error.outcome),
        Notice::Sizes {
            members_alive,
            board_agents,
            board_entries,
            board_bytes,
        } => {
            set(&metrics.members_alive, *members_alive);
            set(&metrics.board_agents, *board_agents);
            set(&metrics.board_entries, *board_entries);
            set(&metrics.board_bytes, *board_bytes);
        }
        _ => {}
    }
}

fn set(gauge: &IntGauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

fn log(notice: &Notice) {
    match notice {
        Notice::MemberUp { .. }
        | Notice::MemberDown { .. }
        | Notice::MemberRestarted(_)
        | Notice::Rejoined(_)
        | Notice::Forgotten { .. } => log_member(notice),
        Notice::DatagramRefused { from, error } => {
            tracing::debug!(%from, %error, "refused a SWIM packet");
        }
        Notice::SwimFault(SwimFault::Timer(error)) => tracing::warn!(error, "SWIM timer"),
        Notice::SwimFault(SwimFault::Announcement { peer, error }) => {
            tracing::warn!(%peer, error, "could not announce ourselves");
        }
        Notice::Recertified => {
            tracing::info!("signed our board entries with a new certificate");
        }
        Notice::PublishFailed(error) => {
            tracing::error!(%error, "this agent's status could not be published");
        }
        Notice::Outranked => tracing::warn!(
            "the mesh has newer entries of this agent: was the clock set back? Signing all \
                entries again"
        ),
        Notice::EntriesRejected {
            from,
            reason,
            count,
        } => tracing::debug!(%from, reason = reason.as_str(), count, "refused board entries"),
        Notice::ExchangeRefused { from, error } => {
            tracing::warn!(%from, %error, "refused a board exchange");
        }
        Notice::AnswerFailed { from, error } => {
            tracing::error!(%from, %error, "could not answer a board exchange");
        }
        Notice::ExchangeFailed { with, error } => tracing::debug!(
            peer = %with,
            error = error.error,
            "a board exchange failed; trying again in a second"
        ),
        Notice::ExchangeAnswered | Notice::Exchanged | Notice::Sizes { .. } => {}
    }
}

fn log_member(notice: &Notice) {
    match notice {
        Notice::MemberUp { agent, was_down_ms } => {
            tracing::info!(%agent, was_down_ms, "member up");
        }
        Notice::MemberDown {
            agent,
            was_up_ms,
            last_status_ms,
        } => tracing::warn!(
            %agent,
            was_up_ms,
            last_status_ms,
            "agent down: no response to direct or indirect probes"
        ),
        Notice::MemberRestarted(agent) => tracing::info!(%agent, "agent restarted"),
        Notice::Rejoined(generation) => {
            tracing::warn!(generation, "peers had declared this agent dead; rejoined");
        }
        Notice::Forgotten { agent, dead_for } => {
            tracing::info!(%agent, dead_for_s = dead_for.as_secs(), "forgot a dead agent");
        }
        _ => {}
    }
}
