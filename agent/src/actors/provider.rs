//! Writes the committed plan to a DNS provider's zone while this agent leads.
//!
//! Failover does not depend on it: Route 53's own health checks and every agent's own name server
//! act on their own. If plans are committed faster than the provider accepts them, only the latest
//! is written. The provider refuses a plan that is not newer than the one it has, so a former
//! leader can't do harm.

use crate::snapshots::Snapshots;
use regionmesh_core::{backoff::Backoff, notify::changes::ZoneState};
use regionmesh_dns::{Config, DnsProvider, ProviderError, Published, restrict_plan};
use regionmesh_protocol::{plan::CommittedPlan, register::ballot::Stamp};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often the zone is compared with the plan that it was written from.
const DRIFT_EVERY: Duration = Duration::from_secs(300);
/// Most drifted records that one event names.
const DRIFT_REPORTED_MAX: usize = 16;
/// Pauses after failures.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// What the task is started with.
#[derive(Clone)]
pub struct ProviderArguments {
    config: Arc<Config>,
    provider: Arc<dyn DnsProvider>,
    snapshots: Snapshots,
}

impl ProviderArguments {
    /// Arguments that write the plans of `snapshots` to `provider`.
    pub fn new(config: Arc<Config>, provider: Arc<dyn DnsProvider>, snapshots: Snapshots) -> Self {
        Self {
            config,
            provider,
            snapshots,
        }
    }

    /// The plan to be written: the committed one, if this agent leads and the plan is confirmed,
    /// restricted to the addresses of the configuration.
    fn due(&self) -> Option<Arc<CommittedPlan>> {
        let is_ours = self.snapshots.leader.borrow().is_self && *self.snapshots.is_current.borrow();
        let plan = self.snapshots.plan.borrow().clone().filter(|_| is_ours)?;
        Some(Arc::new(restrict_plan(&self.config.regions, &plan)))
    }

    /// Publishes the state of the zone.
    fn publish_state(&self, state: ZoneState) {
        self.snapshots.zones.send_if_modified(|zones| {
            let known = zones.entry(self.provider.name()).or_default();
            let is_news = *known != state;
            *known = state;
            is_news
        });
    }
}

/// Runs until `stop`.
pub async fn run(arguments: ProviderArguments, stop: CancellationToken) -> Result<(), String> {
    let _ = stop.run_until_cancelled(sync_zone(arguments)).await;
    Ok(())
}

/// What was written, and what is still to be verified.
struct ZoneWriter {
    arguments: ProviderArguments,
    /// The last plan that needs no more writing.
    done: Option<Stamp>,
    /// Published, and not yet seen in the answers of the provider's name servers.
    unverified: Option<Published>,
    backoff: Backoff,
}

impl ZoneWriter {
    /// Writes the plan if it is due; returns how long to wait before the next look.
    async fn write(&mut self, due: Option<&Arc<CommittedPlan>>) -> Duration {
        let Some(plan) = due else {
            // An agent that leads again compares the zone again.
            self.done = None;
            self.unverified = None;
            self.arguments.publish_state(ZoneState::default());
            return DRIFT_EVERY;
        };

        if self.done.as_ref() == Some(&plan.stamp) {
            return DRIFT_EVERY;
        }

        match self.arguments.provider.publish(plan, &|_| {}).await {
            Ok(published) => {
                self.arguments.publish_state(ZoneState {
                    plan: published.plan.clone(),
                    ..ZoneState::default()
                });

                self.done = Some(plan.stamp.clone());
                self.unverified = Some(published);
                self.backoff.reset();
                DRIFT_EVERY
            }
            // The provider has logged it. A later plan reaches this agent as well.
            Err(ProviderError::Fenced { plan: fenced, why }) => {
                self.arguments.publish_state(ZoneState {
                    plan: fenced,
                    fenced: Some(why),
                    drift: Vec::new(),
                });

                self.done = Some(plan.stamp.clone());
                self.unverified = None;
                DRIFT_EVERY
            }
            Err(_) => self.backoff.next_pause(),
        }
    }

    /// Compares the zone with the plan that it was written from, and publishes the drift.
    async fn check_drift(&self, due: Option<Arc<CommittedPlan>>) {
        let provider = &self.arguments.provider;
        if let Some(plan) = due.filter(|plan| self.done.as_ref() == Some(&plan.stamp))
            && let Some(drift) = drift(provider, &plan).await
        {
            let zones = &self.arguments.snapshots.zones;
            let known = zones.borrow().get(provider.name()).cloned();
            let known = known.unwrap_or_default();

            self.arguments.publish_state(ZoneState { drift, ..known });
        }
    }
}

async fn sync_zone(arguments: ProviderArguments) {
    let snapshots = &arguments.snapshots;
    let mut plans = snapshots.plan.subscribe();
    let mut leaders = snapshots.leader.subscribe();
    let mut currents = snapshots.is_current.subscribe();
    let mut writer = ZoneWriter {
        arguments: arguments.clone(),
        done: None,
        unverified: None,
        backoff: BACKOFF,
    };

    loop {
        plans.mark_unchanged();
        leaders.mark_unchanged();
        currents.mark_unchanged();

        let due = arguments.due();
        let wait = writer.write(due.as_ref()).await;
        let unverified = writer.unverified.clone();

        // The senders live in `snapshots`, so `changed` never fails.
        tokio::select! {
            _ = plans.changed() => {}
            _ = leaders.changed() => {}
            _ = currents.changed() => {}
            () = await_sync(&arguments.provider, unverified) => writer.unverified = None,
            () = tokio::time::sleep(wait) => writer.check_drift(due).await,
        }
    }
}

/// Waits until the provider's name servers answer the plan; never returns if there is nothing to
/// wait for.
async fn await_sync(provider: &Arc<dyn DnsProvider>, published: Option<Published>) {
    let Some(published) = published else {
        return std::future::pending().await;
    };
    match provider.await_propagation(&published, &|_| {}).await {
        Ok(settled) => tracing::info!(
            provider = provider.name(),
            plan = published.plan,
            in_sync_ms = settled.in_sync_ms,
            verified = settled.verified.len(),
            "the provider's name servers answer the plan"
        ),
        Err(error) => tracing::warn!(
            provider = provider.name(), plan = published.plan, %error,
            "the provider's name servers do not answer the plan yet"
        ),
    }
}

/// The records that were changed outside of RegionMesh; none if the zone could not be read. The
/// next plan or `regionmesh dns apply` restores them: a manual change in an emergency must not be
/// overwritten within minutes.
async fn drift(provider: &Arc<dyn DnsProvider>, plan: &CommittedPlan) -> Option<Vec<String>> {
    match provider.preview(plan).await {
        Ok(preview) if preview.is_drift && !preview.differences.is_empty() => {
            for difference in &preview.differences {
                tracing::warn!(
                    provider = provider.name(),
                    zone = preview.zone,
                    record = difference.record,
                    wanted = difference.wanted,
                    found = difference.found,
                    "a record set differs from the plan; `regionmesh dns apply` corrects it"
                );
            }

            let differences = preview.differences.into_iter().take(DRIFT_REPORTED_MAX);
            Some(differences.map(|difference| difference.record).collect())
        }
        Ok(_) => Some(Vec::new()),
        Err(error) => {
            tracing::warn!(provider = provider.name(), %error, "the provider's zone could not be \
                read");
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::config::fixture;
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use regionmesh_core::leader::LeaderView;
    use regionmesh_dns::{Difference, OnProgress, Preview, Propagation, Receipt};
    use regionmesh_protocol::{plan::Plan, register::ballot::Ballot};
    use tokio::sync::watch;

    /// Records its calls, and fails as configured.
    #[derive(Default)]
    struct Recorder {
        written: watch::Sender<Vec<u64>>,
        propagates_in: Duration,
        settled: watch::Sender<u32>,
        comparisons: watch::Sender<u32>,
        drifted: Mutex<Vec<&'static str>>,
        failures: Mutex<Vec<ProviderError>>,
    }

    fn published(plan: &CommittedPlan) -> Published {
        Published {
            provider: "recorder",
            zone: "z.".into(),
            plan: plan.stamp.to_string(),
            differences: Vec::new(),
            is_drift: false,
            new_checks: Vec::new(),
            batches: 1,
            notes: Vec::new(),
            made_ms: 0,
            receipt: Receipt::default(),
        }
    }

    #[async_trait]
    impl DnsProvider for Recorder {
        fn name(&self) -> &'static str {
            "recorder"
        }
        async fn preview(&self, _: &CommittedPlan) -> Result<Preview, ProviderError> {
            self.comparisons.send_modify(|count| *count += 1);
            let drifted = self.drifted.lock().clone();
            if drifted == ["unreadable"] {
                return Err(ProviderError::Misconfigured("as asked".into()));
            }

            let changed = |record: &&str| Difference {
                record: record.to_string(),
                wanted: None,
                found: None,
            };

            Ok(Preview {
                provider: "recorder",
                zone: "z.".into(),
                plan: "p".into(),
                written_from: None,
                is_drift: true,
                differences: drifted.iter().map(changed).collect(),
                new_checks: Vec::new(),
                obsolete_checks: Vec::new(),
                batches: 1,
                notes: Vec::new(),
            })
        }
        async fn publish(
            &self,
            plan: &CommittedPlan,
            _: OnProgress<'_>,
        ) -> Result<Published, ProviderError> {
            if let Some(failure) = self.failures.lock().pop() {
                return Err(failure);
            }
            self.written.send_modify(|all| all.push(plan.stamp.seq));
            Ok(published(plan))
        }
        async fn await_propagation(
            &self,
            _: &Published,
            _: OnProgress<'_>,
        ) -> Result<Propagation, ProviderError> {
            tokio::time::sleep(self.propagates_in).await;
            self.settled.send_modify(|count| *count += 1);
            Ok(Propagation::default())
        }
    }

    fn plan(seq: u64) -> Option<Arc<CommittedPlan>> {
        let ballot = Ballot {
            number: 1,
            agent: "r/a".parse().unwrap(),
            boot: 1,
        };

        Some(Arc::new(CommittedPlan {
            stamp: Stamp { ballot, seq },
            plan: Plan::default(),
            certificate: Default::default(),
        }))
    }

    fn lead(snapshots: &Snapshots, is_self: bool) {
        snapshots.leader.send_replace(LeaderView {
            ballot: None,
            is_self,
        });
    }

    fn start(recorder: Recorder) -> (Arc<Recorder>, Snapshots, tokio::task::JoinHandle<()>) {
        let provider = Arc::new(recorder);
        let snapshots = Snapshots::default();
        snapshots.is_current.send_replace(true);

        let config = Arc::new(fixture::config(&[("r", "127.0.0.1")], "").for_dns());
        let task = tokio::spawn(sync_zone(ProviderArguments::new(
            config,
            provider.clone(),
            snapshots.clone(),
        )));

        (provider, snapshots, task)
    }

    async fn until<T>(cell: &watch::Sender<T>, claim: impl FnMut(&T) -> bool) {
        tokio::time::timeout(Duration::from_secs(3_600), cell.subscribe().wait_for(claim))
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_leader_writes_plans_and_each_once() {
        let (recorder, snapshots, task) = start(Recorder::default());
        snapshots.plan.send_replace(plan(1));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(recorder.written.borrow().is_empty());
        lead(&snapshots, true);
        until(&recorder.written, |written| written == &[1]).await;
        until(&recorder.settled, |settled| *settled == 1).await;
        snapshots.plan.send_replace(plan(2));
        until(&recorder.written, |written| written == &[1, 2]).await;
        lead(&snapshots, false);
        snapshots.plan.send_replace(plan(3));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(*recorder.written.borrow(), [1, 2]);
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_that_gains_signatures_is_written_once_and_still_verified() {
        let (recorder, snapshots, task) = start(Recorder {
            propagates_in: Duration::from_secs(10),
            ..Recorder::default()
        });
        lead(&snapshots, true);
        snapshots.plan.send_replace(plan(1));
        until(&recorder.written, |written| written == &[1]).await;

        tokio::time::sleep(Duration::from_secs(1)).await;
        snapshots.plan.send_replace(plan(1));
        until(&recorder.settled, |settled| *settled == 1).await;
        assert_eq!(*recorder.written.borrow(), [1]);
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_from_before_the_start_is_not_written_until_it_is_confirmed() {
        let (recorder, snapshots, task) = start(Recorder::default());
        snapshots.is_current.send_replace(false);
        lead(&snapshots, true);
        snapshots.plan.send_replace(plan(1));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(recorder.written.borrow().is_empty());
        snapshots.is_current.send_replace(true);
        until(&recorder.written, |written| written == &[1]).await;
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_retried_later_and_a_fenced_one_is_not() {
        let recorder = Recorder::default();
        let passing = || ProviderError::Raced {
            attempts: 1,
            last: "as asked".into(),
        };

        *recorder.failures.lock() = vec![passing(), passing()];
        let (recorder, snapshots, task) = start(recorder);
        lead(&snapshots, true);
        snapshots.plan.send_replace(plan(1));
        until(&recorder.written, |written| written == &[1]).await;

        let fenced = ProviderError::Fenced {
            plan: "p".into(),
            why: "as asked".into(),
        };

        recorder.failures.lock().push(fenced);
        snapshots.plan.send_replace(plan(2));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(*recorder.written.borrow(), [1]);
        snapshots.plan.send_replace(plan(3));
        until(&recorder.written, |written| written == &[1, 3]).await;
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_written_zone_is_compared_periodically() {
        let (recorder, snapshots, task) = start(Recorder::default());
        lead(&snapshots, true);
        snapshots.plan.send_replace(plan(1));
        until(&recorder.comparisons, |comparisons| *comparisons == 3).await;
        assert_eq!(*recorder.written.borrow(), [1]);
        task.abort();
    }
    #[tokio::test(start_paused = true)]
    async fn drift_and_a_lost_fence_are_published_until_they_end() {
        let (recorder, snapshots, task) = start(Recorder::default());
        let until_published = |claim: fn(&ZoneState) -> bool| {
            let zones = snapshots.zones.clone();
            async move { until(&zones, |zones| zones.get("recorder").is_some_and(claim)).await }
        };

        lead(&snapshots, true);
        snapshots.plan.send_replace(plan(1));
        until_published(|zone| !zone.plan.is_empty() && zone.drift.is_empty()).await;
        *recorder.drifted.lock() = vec!["A serving"];
        until_published(|zone| zone.drift == ["A serving"]).await;

        // Who can't look does not know that it is over.
        *recorder.drifted.lock() = vec!["unreadable"];

        let comparisons = *recorder.comparisons.borrow();
        until(&recorder.comparisons, |now| *now >= comparisons + 2).await;
        until_published(|zone| zone.drift == ["A serving"]).await;
        *recorder.drifted.lock() = Vec::new();
        until_published(|zone| zone.drift.is_empty()).await;

        let fenced = ProviderError::Fenced {
            plan: "p2".into(),
            why: "as asked".into(),
        };

        recorder.failures.lock().push(fenced);
        snapshots.plan.send_replace(plan(2));
        until_published(|zone| zone.fenced.as_deref() == Some("as asked") && zone.plan == "p2")
            .await;
        lead(&snapshots, false);
        until_published(|zone| *zone == ZoneState::default()).await;
        task.abort();
    }
}
