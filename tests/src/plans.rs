//! Every plan that agents published, and whether they are one history.

use crate::api::Api;
use parking_lot::Mutex;
use regionmesh_client::PlanDetail;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Pause between two questions to one agent: less than a step of the fast ramp, and than the time
/// between two plans.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A plan's place in the order of plans: its ballot's number, its leader, its own number.
pub type Stamp = (u64, String, u64);

fn stamp(plan: &PlanDetail) -> Stamp {
    (
        plan.brief.ballot.number,
        plan.brief.ballot.agent.clone(),
        plan.brief.seq,
    )
}

/// Reads the plan of every agent, repeatedly, until it is finished or dropped.
pub struct PlanLog {
    /// Per agent, each plan as it was first read.
    seen: Arc<Mutex<Vec<Vec<PlanDetail>>>>,
    stop: CancellationToken,
    asking: JoinSet<()>,
}

impl PlanLog {
    /// Starts reading from `apis`. Retries agents that do not answer.
    pub fn start(apis: Vec<Api>) -> Self {
        let seen = Arc::new(Mutex::new(vec![Vec::new(); apis.len()]));
        let stop = CancellationToken::new();
        let mut asking = JoinSet::new();

        for (index, api) in apis.into_iter().enumerate() {
            let seen = seen.clone();
            let stop = stop.clone();
            asking.spawn(async move {
                while !stop.is_cancelled() {
                    if let Ok(plan) = api.plan().await {
                        let mut seen = seen.lock();
                        if seen[index]
                            .last()
                            .is_none_or(|last| stamp(last) != stamp(&plan))
                        {
                            seen[index].push(plan);
                        }
                    }

                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            });
        }

        Self { seen, stop, asking }
    }

    /// Stops reading. Fails unless the plans are one history: no agent went back, no stamp names
    /// two plans, and a later ballot's plans have later numbers, which two leaders that commit side
    /// by side would break. Gives that history.
    pub async fn finish_as_one_history(mut self) -> Vec<PlanDetail> {
        self.stop.cancel();
        while self.asking.join_next().await.is_some() {}

        let seen = self.seen.lock();
        let mut history: BTreeMap<Stamp, &PlanDetail> = BTreeMap::new();
        for plans in seen.iter() {
            let stamps: Vec<Stamp> = plans.iter().map(stamp).collect();
            assert!(stamps.is_sorted(), "an agent went back: {stamps:?}");
            for plan in plans {
                let known = history.entry(stamp(plan)).or_insert(plan);
                let is_same = content(known) == content(plan);
                assert!(
                    is_same,
                    "two plans under one stamp: {:?} and {:?}",
                    content(known),
                    content(plan)
                );
            }
        }

        let stamps: Vec<&Stamp> = history.keys().collect();
        let rises = stamps.windows(2).all(|pair| pair[0].2 < pair[1].2);
        let has_one_owner = stamps
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 || pair[0].1 == pair[1].1);

        assert!(rises && has_one_owner, "not one history: {stamps:?}");
        history.into_values().cloned().collect()
    }
}

/// The content of a plan, without the fields that depend on its publisher and time.
fn content(plan: &PlanDetail) -> (String, Vec<(String, u16, String)>) {
    let regions = plan.regions.iter();
    let regions = regions.map(|region| {
        (
            region.region.to_string(),
            region.weight_bp,
            region.traffic_state.clone(),
        )
    });

    (plan.brief.reason.clone(), regions.collect())
}

/// One region's share in a plan.
pub fn share(plan: &PlanDetail, region: &str) -> f64 {
    plan.regions
        .iter()
        .find(|planned| planned.region.as_str() == region)
        .map_or(0.0, |planned| planned.share)
}
