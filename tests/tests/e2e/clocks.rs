//! Wrong clocks: an order lasts as long as it was given for, no matter whose clock is wrong or set,
//! and that is reported.

use regionmesh_tests::{
    api::Api,
    mesh::{Setup, TestMesh},
    skip::skip,
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ALL: [usize; 3] = [0, 1, 2];
const MINUTE: u64 = 60_000;

/// The library that fakes the time of a process (Debian: faketime).
fn library() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let library = found.into_iter().find(|path| path.is_file());

    if library.is_none() {
        skip("libfaketime is not installed (Debian: apt-get install faketime)");
    }
    library
}

/// A mesh in which each agent's wall clock can be set; its steady clock stays true.
struct Clocks {
    mesh: TestMesh,
    directory: tempfile::TempDir,
}

fn file(directory: &Path, index: usize) -> PathBuf {
    directory.join(format!("clock-{index}"))
}

impl Clocks {
    /// Starts a mesh whose agents' clocks are off by this many seconds.
    async fn start(library: &Path, offsets_s: [i64; 3]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let library = library.display().to_string();
        let files = ALL.map(|index| file(directory.path(), index).display().to_string());

        for (index, offset_s) in offsets_s.iter().enumerate() {
            set(directory.path(), index, *offset_s);
        }

        let mut environment = Vec::new();
        for (index, file) in files.iter().enumerate() {
            environment.extend([
                (index, "LD_PRELOAD", library.as_str()),
                (index, "FAKETIME_TIMESTAMP_FILE", file.as_str()),
                (index, "FAKETIME_NO_CACHE", "1"),
                (index, "FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                (index, "DONT_FAKE_MONOTONIC", "1"),
            ]);
        }

        let setup = Setup {
            region_environment: &environment,
            ..Setup::default()
        };
        let mesh = TestMesh::start_with(setup).await;

        mesh.converged().await;
        Self { mesh, directory }
    }

    fn set(&self, index: usize, offset_s: i64) {
        set(self.directory.path(), index, offset_s);
    }

    async fn leader(&self) -> usize {
        let (leader, _) = self.mesh.leader(seconds(30)).await;
        self.mesh.region_of(&leader)
    }

    async fn status(&self, asked: usize) -> Result<Value, String> {
        let (code, body) = self.mesh.api(asked).get("/v1/status").await?;
        claim(code == 200, || body.to_string())?;
        Ok(body)
    }

    /// Each of `asked` says whether the clock of region `index`'s agent is a problem.
    async fn skewed(&self, asked: &[usize], index: usize, wanted: bool) {
        let agent = self.mesh.agent(index).id.to_string();
        for asked in asked {
            until(
                &format!("the clock of {agent} is reported: {wanted}"),
                seconds(40),
                async || {
                    let status = self.status(*asked).await?;
                    let problems = status["problems"].as_array().cloned().unwrap_or_default();
                    let is_it = |problem: &Value| {
                        problem["kind"] == "clock-skew" && problem["agent"] == agent.as_str()
                    };

                    claim(problems.iter().any(is_it) == wanted, || {
                        format!("{problems:?}")
                    })
                },
            )
            .await;
        }
    }

    /// Drains a region for half an hour.
    async fn drain(&self, asked: usize, region: usize) {
        let body = json!({
            "region": self.mesh.region(region),
            "by": "ann",
            "why": "disks",
            "for_ms": 30 * MINUTE,
        });
        until("the drain is carried out", seconds(20), async || {
            let (code, answer) = self
                .mesh
                .api(asked)
                .post("/v1/failover/drain", &body)
                .await?;

            claim(code == 200, || answer.to_string())
        })
        .await;

        for asked in ALL {
            self.until_drain_lasts(asked).await;
        }
    }

    /// The drain of half an hour is in effect, as `asked` sees it, and for as long as is left of it
    /// by a true clock.
    async fn until_drain_lasts(&self, asked: usize) {
        until(
            &format!("the drain lasts, seen from {}", self.mesh.region(asked)),
            seconds(20),
            async || {
                let status = self.status(asked).await?;
                let left_ms = status["orders"][0]["left_ms"].as_u64();
                let is_right = left_ms
                    .is_some_and(|left_ms| (25 * MINUTE..=30 * MINUTE + 2_000).contains(&left_ms));

                claim(is_right, || {
                    format!("{} of {}", status["orders"], status["plan"]["reason"])
                })
            },
        )
        .await;
    }
}

fn set(directory: &Path, index: usize, offset_s: i64) {
    std::fs::write(file(directory, index), format!("{offset_s:+}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_steps_keeps_orders_traffic_and_leadership() {
    let Some(library) = library() else { return };
    let clocks = Clocks::start(&library, [0, 0, 0]).await;
    let mesh = &clocks.mesh;
    let leader = clocks.leader().await;
    let [drained, other] = mesh.others(leader)[..] else {
        panic!("three regions")
    };

    clocks.drain(other, drained).await;
    let seq = mesh.api(other).plan_seq().await.unwrap();

    clocks.set(leader, 3_600);
    clocks.skewed(&ALL, leader, true).await;
    for asked in ALL {
        clocks.until_drain_lasts(asked).await;
    }

    let api = mesh.api(other);
    until_step_is_reported(mesh, &api, leader).await;

    clocks.set(leader, 0);
    clocks.skewed(&ALL, leader, false).await;
    for asked in ALL {
        clocks.until_drain_lasts(asked).await;
        assert_shares_are_unchanged(&clocks, asked, [leader, other, drained]).await;
    }

    assert_eq!(clocks.leader().await, leader, "it leads on");
    assert_eq!(
        api.plan_seq().await.unwrap(),
        seq,
        "a step of the clock made no plan"
    );

    // Failover still works, and the order outlives the leader that accepted it.
    mesh.kill_region(leader).await;
    until("the dead region is out", seconds(30), async || {
        let share = api.region(mesh.region(leader)).await?.share;
        claim(share == 0.0, || format!("{share}"))
    })
    .await;

    clocks.until_drain_lasts(other).await;
}

async fn until_step_is_reported(mesh: &TestMesh, api: &Api, leader: usize) {
    until("the clock is an alert", seconds(10), async || {
        let (_, alerts) = api.get("/v1/alerts").await?;
        claim(alerts.to_string().contains("RegionMeshClockSkew"), || {
            alerts.to_string()
        })
    })
    .await;

    until("the metric says by how much", seconds(10), async || {
        let ahead = mesh
            .api(leader)
            .metric("regionmesh_clock_ahead_seconds", &[])
            .await?;
        claim((3_590.0..3_610.0).contains(&ahead), || ahead.to_string())
    })
    .await;

    let log = std::fs::read_to_string(&mesh.agent(leader).log_file).unwrap();
    assert!(
        log.contains("clock was set"),
        "the log says nothing of the step"
    );
}

async fn assert_shares_are_unchanged(clocks: &Clocks, asked: usize, regions: [usize; 3]) {
    let mesh = &clocks.mesh;
    let status = clocks.status(asked).await.unwrap();
    let share = |index: usize| {
        let regions = status["regions"].as_array().unwrap();
        regions
            .iter()
            .find(|part| part["region"] == mesh.region(index))
            .unwrap()["share"]
            .as_f64()
            .unwrap()
    };

    assert_eq!(
        regions.map(share),
        [0.5, 0.5, 0.0],
        "seen from {}",
        mesh.region(asked)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_an_hour_ahead_is_reported_and_neither_leads_nor_ends_orders() {
    let Some(library) = library() else { return };
    let clocks = Clocks::start(&library, [3_600, 0, 0]).await;
    let mesh = &clocks.mesh;

    clocks.skewed(&ALL, 0, true).await;
    clocks.skewed(&ALL, 1, false).await;

    // At the start it may have led before any clock was known; then another takes over and it
    // does not come back.
    if clocks.leader().await == 0 {
        mesh.kill_region(0).await;
        let old = mesh.agent(0).id.to_string();
        mesh.leader_after(&old, seconds(30)).await;
        mesh.revive(0).await;
        mesh.converged().await;
        clocks.skewed(&ALL, 0, true).await;
    }

    let leader = clocks.leader().await;
    assert_ne!(leader, 0, "an agent whose clock is an hour ahead leads");

    let other = 3 - leader;
    clocks.drain(0, 0).await;

    // Of the remaining two only one has a clock that allows it to lead.
    mesh.kill_region(leader).await;

    let (next, _) = mesh
        .leader_after(&mesh.agent(leader).id.to_string(), seconds(30))
        .await;
    assert_eq!(mesh.region_of(&next), other, "{next} leads");
    clocks.until_drain_lasts(0).await;
    clocks.until_drain_lasts(other).await;

    let log = std::fs::read_to_string(&mesh.agent(0).log_file).unwrap();
    assert!(log.contains("clock"), "its own log says nothing");

    // Once corrected, it publishes no verdict of the hour to come: as leader it would hold a region
    // on its ramp until then.
    clocks.set(0, 0);
    until(
        "its verdicts have the corrected time",
        seconds(20),
        async || {
            let status = clocks.status(0).await?;
            let now_ms = status["answered_ms"].as_u64().ok_or("no time")?;
            let regions = status["regions"].as_array().ok_or("no regions")?;
            let is_past = |part: &Value| {
                part["verdict_since_ms"]
                    .as_u64()
                    .is_some_and(|since_ms| since_ms <= now_ms + 2_000)
            };

            claim(regions.len() == 3 && regions.iter().all(is_past), || {
                status["regions"].to_string()
            })
        },
    )
    .await;
}
