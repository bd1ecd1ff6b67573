//! What a mesh converges to: every region serves, one agent leads, a version is everywhere.

use crate::{
    api::Api,
    mesh::TestMesh,
    models::{is_answer_of, question},
    wait::{claim, seconds, until},
};
use futures::future::join_all;
use regionmesh::local_mesh::{children::ChildState, layout::LocalAgent};
use regionmesh_protocol::status::condition::Condition;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// How long a mesh may take to converge: the fast ramp takes eight seconds.
const CONVERGENCE_TIMEOUT: Duration = seconds(60);
/// How long a small version may take to be everywhere, and to answer.
const REPLICATION_TIMEOUT: Duration = seconds(30);

/// A leader: its agent, and its ballot's number.
pub type Leader = (String, u64);

/// The leader that all of `asked` agree on.
pub async fn one_leader(asked: &[Api], timeout: Duration) -> Leader {
    until("one leader for all", timeout, async || {
        let mut named = BTreeSet::new();
        for api in asked {
            named.insert(
                api.status()
                    .await?
                    .leader
                    .map(|leader| (leader.agent, leader.ballot)),
            );
        }

        let first = named.first().cloned().flatten();
        claim(named.len() == 1, || format!("{named:?}"))?;
        first.ok_or_else(|| "none".into())
    })
    .await
}

/// Waits until each of `asked` gives region `name` an expected share.
pub async fn until_share(
    asked: &[Api],
    name: &str,
    timeout: Duration,
    is_wanted: impl Fn(f64) -> bool,
) {
    for api in asked {
        until(
            &format!("the share of {name}, seen from {}", api.url()),
            timeout,
            async || {
                let region = api.region(name).await?;
                claim(is_wanted(region.share), || {
                    format!("{} {}", region.share, region.traffic_state)
                })
            },
        )
        .await;
    }
}

impl TestMesh {
    /// Every agent whose process runs.
    pub fn running(&self) -> Vec<&LocalAgent> {
        let runs =
            |agent: &&LocalAgent| matches!(self.state(&agent.id), Ok(ChildState::Running { .. }));
        self.agents().iter().filter(runs).collect()
    }

    /// The same, over HTTP.
    pub fn running_apis(&self) -> Vec<Api> {
        self.running()
            .into_iter()
            .map(|agent| self.api_of(agent))
            .collect()
    }

    /// The region that `agent`, written as `region/name`, is of.
    pub fn region_of(&self, agent: &str) -> usize {
        let name = agent.split('/').next().unwrap_or_default();
        self.layout()
            .regions
            .iter()
            .position(|region| region.as_str() == name)
            .expect("an agent of this mesh")
    }

    /// Every running agent sees all regions serve their full share, and a leader.
    pub async fn converged(&self) {
        let full = 1.0 / self.layout().regions.len() as f64;
        for api in self.running_apis() {
            until(
                &format!("all serve, seen from {}", api.url()),
                CONVERGENCE_TIMEOUT,
                async || {
                    let status = api.status().await?;
                    for region in &status.regions {
                        let is_full = region.traffic_state == "serving"
                            && (region.share - full).abs() < 0.001;
                        claim(is_full, || {
                            format!(
                                "{} is {} at {}",
                                region.region, region.traffic_state, region.share
                            )
                        })?;
                    }

                    claim(status.leader.is_some(), || "no leader".into())
                },
            )
            .await;
        }
    }

    /// The leader that all running agents name, once there is one.
    pub async fn leader(&self, timeout: Duration) -> Leader {
        one_leader(&self.running_apis(), timeout).await
    }

    /// The leader that all running agents name once it is no longer `old`.
    pub async fn leader_after(&self, old: &str, timeout: Duration) -> Leader {
        let apis = self.running_apis();
        until(&format!("a leader after {old}"), timeout, async || {
            let leader = one_leader(&apis, timeout).await;
            claim(leader.0 != old, || format!("{leader:?}"))?;
            Ok(leader)
        })
        .await
    }

    /// Every running agent outside region `index` judges it healthy and at its full share, until it
    /// has probed it successfully that many more times.
    pub async fn assert_share_is_stable(&self, index: usize, probes: f64) {
        let name = self.region(index);
        let full = 1.0 / self.layout().regions.len() as f64;
        let labels = [&format!("region=\"{name}\"")[..], "outcome=\"success\""];
        let outside = self
            .running()
            .into_iter()
            .filter(|agent| agent.id.region.as_str() != name);

        join_all(outside.map(|agent| async {
            let api = self.api_of(agent);
            let probed = async || api.metric("regionmesh_probes_total", &labels).await;
            let begin = probed().await.expect("metrics");

            until(
                &format!("{} probes {name} on", agent.id),
                CONVERGENCE_TIMEOUT,
                async || {
                    let region = api.region(name).await?;
                    assert_eq!(
                        region.verdict,
                        Condition::Healthy,
                        "{}",
                        region.verdict_reason
                    );

                    assert!(
                        region.traffic_state == "serving" && (region.share - full).abs() < 0.001,
                        "{region:?}"
                    );

                    let more = probed().await? - begin;
                    claim(more >= probes, || format!("{more} more"))
                },
            )
            .await;
        }))
        .await;
    }

    /// Region `index` comes back, as region `asked` sees it: by a cool-down, and at least four
    /// steps of the ramp.
    pub async fn assert_returns_by_ramp(&self, index: usize, asked: usize, timeout: Duration) {
        let name = self.region(index);
        let api = self.api(asked);
        let mut traffic_states = Vec::new();

        until(&format!("{name} is back"), timeout, async || {
            let region = api.region(name).await?;
            let traffic_state = (region.traffic_state, region.ramp_percent);
            let is_back = traffic_state.0 == "serving";

            if traffic_states.last() != Some(&traffic_state) {
                traffic_states.push(traffic_state);
            }
            claim(is_back, || format!("{traffic_states:?}"))
        })
        .await;

        println!("{name} came back: {traffic_states:?}");
        let has_cooled_down = traffic_states
            .iter()
            .any(|(traffic_state, _)| traffic_state == "cooling-down");
        let steps: Vec<u8> = traffic_states
            .iter()
            .filter_map(|(_, percent)| *percent)
            .collect();

        assert!(has_cooled_down, "{traffic_states:?}");
        assert!(steps.len() >= 4 && steps.is_sorted(), "{traffic_states:?}");
    }

    /// Publishes a version of the iris model in region `index`.
    pub async fn publish_iris(&self, index: usize, version: &str, onnx: Vec<u8>) {
        let (code, answer) = self
            .api(index)
            .publish("iris", version, &[("model.onnx", onnx)])
            .await
            .expect("an answer");

        assert_eq!(code, 200, "{answer}");
    }

    /// Lets `production` of the iris model name a version, by way of region `index`.
    pub async fn promote_iris(&self, index: usize, version: &str) {
        let (code, answer) = self
            .api(index)
            .promote("iris", version, "production")
            .await
            .expect("an answer");

        assert_eq!(code, 200, "{answer}");
    }

    /// Every region holds the version, as every running agent knows, and all have verified it.
    pub async fn until_held_by_all(&self, version: &str) {
        let regions = self.layout().regions.len();
        for api in self.running_apis() {
            until(
                &format!("iris@{version} everywhere, seen from {}", api.url()),
                REPLICATION_TIMEOUT,
                async || {
                    let holders = api.holders("iris", version).await?;
                    claim(holders.len() == regions, || format!("{holders:?}"))
                },
            )
            .await;

            let path = format!("/v1/models/iris/versions/{version}/verify");
            let (code, answer) = api.post(&path, &json!({})).await.expect("an answer");
            assert_eq!(code, 200, "{answer}");
        }
    }

    /// Every running agent's model server serves `version` as the default.
    pub async fn until_answered_by_all(&self, version: &str) {
        for api in self.running_apis() {
            until(
                &format!("{} answers with version {version}", api.url()),
                REPLICATION_TIMEOUT,
                async || {
                    let (answering, numbers) =
                        api.infer("/v2/models/iris/infer", &question()).await?;
                    claim(
                        answering == version && is_answer_of(version, &numbers),
                        || format!("{answering}: {numbers:?}"),
                    )
                },
            )
            .await;
        }
    }
}
