//! What a mesh comes to when it is left alone: every region serves, one agent leads, a version is
//! everywhere.

use crate::{
    api::Api,
    mesh::TestMesh,
    models::{is_answer_of, question},
    wait::{claim, seconds, until},
};
use futures::future::join_all;
use regionmesh::cli::up::{children::ChildState, layout::LocalAgent};
use regionmesh_protocol::status::condition::Condition;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// How long a mesh may take to come to rest: the fast ramp takes eight seconds.
const REST: Duration = seconds(60);
/// How long a small version may take to be everywhere, and to answer.
const SPREAD: Duration = seconds(30);

/// A leader: its agent, and its ballot's number.
pub type Leader = (String, u64);

/// The leader that all of `asked` name, and no other.
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
    pub async fn settled(&self) {
        let full = 1.0 / self.layout().regions.len() as f64;
        for api in self.running_apis() {
            until(
                &format!("all serve, seen from {}", api.url()),
                REST,
                async || {
                    let status = api.status().await?;
                    for region in &status.regions {
                        let is_full =
                            region.traffic_state == "serving" && (region.share - full).abs() < 0.001;
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

    /// Every running agent outside region `index` judges it healthy and at its full share, from now
    /// until it has probed it with success so many times more.
    pub async fn keeps_its_share(&self, index: usize, probes: f64) {
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
                REST,
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
    pub async fn held_by_all(&self, version: &str) {
        let regions = self.layout().regions.len();
        for api in self.running_apis() {
            until(
                &format!("iris@{version} everywhere, seen from {}", api.url()),
                SPREAD,
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

    /// Every running agent's model server answers the default version's question with the numbers
    /// of `version`.
    pub async fn answered_by_all(&self, version: &str) {
        for api in self.running_apis() {
            until(
                &format!("{} answers with version {version}", api.url()),
                SPREAD,
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
