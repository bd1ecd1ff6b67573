//! `regionmesh up --demo`: a guided tour that checks itself.
//!
//! A model is published and verified in every region, users send it a steady load through the front
//! door, the region that serves them is killed, DNS moves, the region comes back and is ramped up.
//! Each step either holds or the tour ends with what was seen instead; it measures as users and
//! their resolvers do, from outside. A request that fails at any time ends the tour.

use super::{
    error::UpError,
    layout::LocalAgent,
    local_mesh::LocalMesh,
    measure::{self, Load, NotWithin, Sample, wait},
    publish::{self, ModelToPublish},
};
use crate::{
    cli::{
        connect::ClientOptions,
        text::{Paint, Table, Tone, print, takes_colour},
    },
    front_door::{FrontDoor, FrontDoorMetrics},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use futures::future::join_all;
use regionmesh_client::{ANSWER, Client, RegionStatus, Status};
use regionmesh_protocol::{identity::RegionName, models::manifest::ModelName};
use regionmesh_serving::{iris_onnx, iris_probabilities};
use serde_json::json;
use std::{
    fmt::Write,
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The tour's model.
const MODEL: &str = "iris";
/// A flower with a clear answer, centimetres: row 101 of the data set.
const FLOWER: [f32; 4] = [6.3, 3.3, 6.0, 2.5];
/// How far a probability may be from the one computed in plain arithmetic: single precision in
/// another order.
const TOLERANCE: f32 = 1e-4;
/// One request of the load per this time: enough to catch a moment without service, little enough
/// that a machine with two cores which also compiles something answers them.
const INTERVAL: Duration = Duration::from_millis(20);
/// Requests in a row that must have been answered before anything is broken.
const WARM_UP: usize = 100;
/// Requests in a row after which users are well again.
const CALM: usize = 100;
/// Between two looks at the mesh.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for any one condition. The goals are far lower, and measured by the figures; the
/// tour also runs on machines that have other things to do.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Refuses a mesh that can't take the tour: a region is killed, and another must be left.
pub(super) fn check(regions: usize) -> Result<(), UpError> {
    if regions < 2 {
        Err(UpError::Options("--demo needs at least 2 regions".into()))
    } else {
        Ok(())
    }
}

/// Takes the tour: 0 if every step held, else 1. The mesh is prepared and not started.
pub(super) async fn run(mesh: &LocalMesh, front_door: Vec<SocketAddr>) -> Result<ExitCode> {
    let mut tour = Tour::new(mesh)?;
    let outcome = tour.take(front_door).await;
    if let Err(error) = &outcome {
        tour.tell(Tone::Bad, &format!("FAILED: {error:#}"))?;
    }
    print(&tour.summary(outcome.as_ref().err()))?;
    Ok(if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The tour on its way.
struct Tour<'a> {
    mesh: &'a LocalMesh,
    client: Client,
    http: reqwest::Client,
    paint: Paint,
    begin: Instant,
    /// Each step that held: what it was and what was measured.
    held: Vec<(&'static str, String)>,
    /// The step under way.
    step: &'static str,
}

/// The front door, open while this lives.
struct Door {
    url: String,
    _open: DropGuard,
}

impl<'a> Tour<'a> {
    fn new(mesh: &'a LocalMesh) -> Result<Self> {
        Ok(Self {
            mesh,
            client: ClientOptions::of_local_mesh(&mesh.layout().data_dir).connect()?,
            http: reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .timeout(ANSWER)
                .build()?,
            paint: Paint {
                is_on: takes_colour(),
            },
            begin: Instant::now(),
            held: Vec::new(),
            step: "",
        })
    }

    async fn take(&mut self, front_door: Vec<SocketAddr>) -> Result<()> {
        self.begin("A mesh without a coordinator")?;
        self.mesh.start().await?;

        let (home, ready) = self.wait_for_plan().await?;
        self.hold(ready)?;

        let victims: Vec<&LocalAgent> = self
            .mesh
            .agents()
            .iter()
            .filter(|agent| agent.id.region == home)
            .collect();

        let survivors: Vec<&LocalAgent> = self
            .mesh
            .agents()
            .iter()
            .filter(|agent| agent.id.region != home)
            .collect();

        let observer = *survivors
            .first()
            .context("every agent is of the region that serves")?;

        self.begin("A model published once")?;
        let taken = self.publish().await?;
        self.hold(format!(
            "{MODEL} version 1, by the API of {}, in {}",
            self.first_agent()?.id,
            seconds(taken)
        ))?;

        self.begin("Verified in every region")?;
        let taken = self.verify().await?;
        self.hold(format!(
            "all {} regions hold every byte and serve it, {}",
            self.regions(),
            seconds(taken)
        ))?;

        self.begin("Inference through the front door")?;
        let door = self.open(front_door).await?;
        self.check_numbers(&door, &home).await?;

        let load = Load::start(door.url.clone(), request(), INTERVAL)?;
        self.served_by(&load, &home, WARM_UP).await?;
        self.hold(format!(
            "{WARM_UP} requests in a row, all answered rightly by {home}"
        ))?;

        self.begin("The region that serves is killed")?;
        self.tell(Tone::Strong, &format!("kill -9 of every agent of {home}"))?;

        let killed = load.now();
        let kill = join_all(victims.iter().map(|agent| self.mesh.kill(&agent.id)));
        let (ends, moved) = tokio::join!(kill, self.watch_dns(&survivors, &victims));

        ends.into_iter().collect::<Result<Vec<()>, _>>()?;
        let mut times = Vec::new();
        for (agent, moved) in survivors.iter().zip(moved) {
            let moved = moved
                .with_context(|| format!("the DNS server of {} did not move users", agent.id))?;
            self.tell(
                Tone::Faint,
                &format!(
                    "the DNS server of {} moved users after {}",
                    agent.id,
                    seconds(moved)
                ),
            )?;

            times.push(moved);
        }

        let last = times.into_iter().max().unwrap_or_default();
        self.hold(format!(
            "every surviving DNS server moved users within {}",
            seconds(last)
        ))?;

        self.begin("What users noticed")?;
        let moved = killed + last;
        let is_calm = |samples: &Vec<Sample>| {
            let since = samples.iter().filter(|sample| sample.sent > moved).count();
            has_failed(samples) || since >= CALM && load.ended_until() > moved
        };
        let samples = wait(TIMEOUT, || async { load.samples() }, is_calm)
            .await
            .context("users were not served again")?;

        self.hold(noticed(&samples, killed, &home)?)?;

        self.begin("The region comes back, gently")?;
        let taken = self.bring_back(&home, &victims, observer).await?;
        self.served_by(&load, &home, CALM).await?;
        self.check_numbers(&door, &home).await?;

        let all = load.finish().await;
        ensure_none_failed(&all)?;
        self.hold(format!(
            "{home} has all its traffic again after {}, no request failed ({} in all)",
            seconds(taken),
            all.len()
        ))
    }

    /// Waits until the last so many requests were answered by `home`; fails as soon as any failed.
    async fn served_by(&self, load: &Load, home: &RegionName, count: usize) -> Result<()> {
        let is_from = |sample: &Sample| sample.outcome.as_ref().is_ok_and(|by| by == home.as_str());
        let is_served = |samples: &Vec<Sample>| {
            has_failed(samples)
                || samples.len() >= count && samples.iter().rev().take(count).all(is_from)
        };
        let samples = wait(TIMEOUT, || async { load.samples() }, is_served)
            .await
            .with_context(|| format!("users were not served by {home}"))?;

        ensure_none_failed(&samples)
    }

    /// Waits until every agent knows a plan and holds all regions for healthy; tells who serves.
    async fn wait_for_plan(&self) -> Result<(RegionName, String)> {
        let is_well = |status: &Status| {
            status.plan.is_some()
                && status.leader.is_some()
                && status.regions.iter().all(|region| {
                    region.traffic_state == "serving" && region.verdict.as_str() == "healthy"
                })
        };
        let look =
            || async { join_all(self.mesh.agents().iter().map(|agent| self.status(agent))).await };

        let all = wait(TIMEOUT, look, |all| {
            all.iter().all(|status| status.as_ref().is_ok_and(is_well))
        })
        .await
        .context("the agents did not all see a plan and healthy regions")?;
        let status = all.into_iter().next().context("the mesh has no agent")??;
        let serving = |region: &&RegionStatus| region.share > 0.99;
        let home = status
            .regions
            .iter()
            .find(serving)
            .context("no region has the traffic")?
            .region
            .clone();

        let leader = status
            .leader
            .map_or_else(String::new, |leader| leader.agent);
        let taken = seconds(self.begin.elapsed());
        let note = format!(
            "{} agents ready and agreed in {taken}; leader {leader}; {home} serves",
            self.mesh.agents().len()
        );

        Ok((home, note))
    }

    async fn publish(&self) -> Result<Duration> {
        let begin = Instant::now();
        let directory = self.mesh.layout().data_dir.join("tour").join(MODEL);
        tokio::fs::create_dir_all(&directory).await?;
        tokio::fs::write(directory.join("model.onnx"), iris_onnx()).await?;

        let model = ModelToPublish {
            name: ModelName::new(MODEL)?,
            path: directory,
        };

        publish::publish(self.mesh, &model).await?;
        Ok(begin.elapsed())
    }

    /// Until every region has read every byte again and found it right, and every agent serves the
    /// model.
    async fn verify(&self) -> Result<Duration> {
        let begin = Instant::now();
        let words = ["verify", MODEL, "1"].map(std::ffi::OsStr::new);
        wait(
            TIMEOUT,
            || publish::models(self.mesh, &words),
            Result::is_ok,
        )
        .await?
        .map_err(|why| anyhow!("`regionmesh models verify {MODEL} 1`: {why}"))?;

        let look = || async {
            let ask = |agent: &LocalAgent| {
                let question = self
                    .http
                    .get(format!(
                        "http://{}/v2/models/{MODEL}/ready",
                        agent.serving()
                    ))
                    .send();

                async {
                    question
                        .await
                        .is_ok_and(|reply| reply.status().is_success())
                }
            };

            join_all(self.mesh.agents().iter().map(ask)).await
        };

        wait(TIMEOUT, look, |ready| {
            ready.iter().all(|&is_ready| is_ready)
        })
        .await
        .context("not every agent serves it")?;

        Ok(begin.elapsed())
    }

    async fn open(&self, listen: Vec<SocketAddr>) -> Result<Door> {
        let metrics = FrontDoorMetrics::new(&prometheus::Registry::new())?;
        let door = FrontDoor::bind(self.mesh.front_door(listen, metrics)).await?;
        let address = door
            .local_addrs()
            .into_iter()
            .next()
            .context("the front door has no address")?;
        let closing = CancellationToken::new();

        tokio::spawn(door.serve(closing.clone()));
        Ok(Door {
            url: format!("http://{address}/v2/models/{MODEL}/infer"),
            _open: closing.drop_guard(),
        })
    }

    /// One inference, compared with what plain arithmetic says.
    async fn check_numbers(&self, door: &Door, home: &RegionName) -> Result<()> {
        let question = request();
        let ask = || measure::infer(&self.http, &door.url, &question);

        // A region that was slow for a moment loses its traffic for a moment.
        let is_from = |answer: &Result<(String, bytes::Bytes), String>| {
            answer
                .as_ref()
                .map_or(true, |(region, _)| region == home.as_str())
        };
        let answer = wait(TIMEOUT, ask, is_from)
            .await
            .with_context(|| format!("{home} did not answer"))?;
        let (region, body) = answer.map_err(|why| anyhow!(why))?;
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        let data = &answer["outputs"][0]["data"];
        let numbers: Vec<f32> = serde_json::from_value(data.clone())
            .with_context(|| format!("no numbers in {answer}"))?;
        let expected = iris_probabilities(FLOWER);

        let is_close = numbers.len() == expected.len()
            && numbers
                .iter()
                .zip(expected)
                .all(|(number, expected)| (number - expected).abs() <= TOLERANCE);

        ensure!(
            is_close,
            "the model answered {numbers:?} instead of {expected:?}"
        );

        self.tell(
            Tone::Faint,
            &format!("POST {} -> {numbers:?} from {region}", door.url),
        )
    }

    /// For each survivor how long it took until it no longer answered with an address of a victim.
    async fn watch_dns(
        &self,
        survivors: &[&LocalAgent],
        victims: &[&LocalAgent],
    ) -> Vec<Result<Duration, NotWithin>> {
        let servers: Vec<_> = survivors.iter().map(|agent| agent.dns()).collect();
        let gone: Vec<_> = victims.iter().map(|agent| agent.ip.into()).collect();
        measure::watch_dns(&servers, &self.mesh.layout().service(), &gone, TIMEOUT).await
    }

    /// Starts the region's agents and follows its way back, step by step.
    async fn bring_back(
        &self,
        home: &RegionName,
        agents: &[&LocalAgent],
        observer: &LocalAgent,
    ) -> Result<Duration> {
        let begin = Instant::now();
        for agent in agents {
            self.mesh.start_agent(&agent.id).await?;
        }

        let deadline = tokio::time::Instant::now() + TIMEOUT;
        for agent in agents {
            self.mesh.wait_until_ready(&agent.id, deadline).await?;
        }
        self.tell(
            Tone::Faint,
            &format!(
                "its agents are ready {} after their start",
                seconds(begin.elapsed())
            ),
        )?;

        let mut seen = String::new();
        // The way back has its own schedule, which is not the tour's to judge: only a standstill is
        // a fault.
        let mut changed = Instant::now();

        loop {
            let status = self.status(observer).await?;
            let region = status.regions.iter().find(|region| region.region == *home);
            let region = region.with_context(|| format!("{home} is not in the plan"))?;
            let percent = region
                .ramp_percent
                .map_or_else(String::new, |percent| format!(" {percent} %"));
            let traffic_state = format!("{}{percent}", region.traffic_state);

            if traffic_state != seen {
                self.tell(
                    Tone::Faint,
                    &format!(
                        "{home}: {traffic_state}, {:.0} % of users",
                        region.share * 100.0
                    ),
                )?;

                changed = Instant::now();
                seen = traffic_state;
            }

            // Killed for seconds, it is out of the plan by now: "serving" means again.
            if region.traffic_state == "serving" {
                return Ok(begin.elapsed());
            }
            ensure!(
                changed.elapsed() < TIMEOUT,
                "{home} stayed {seen} for {}",
                seconds(changed.elapsed())
            );

            sleep(PAUSE).await;
        }
    }

    async fn status(&self, agent: &LocalAgent) -> Result<Status> {
        Ok(self
            .client
            .only(&agent.api_url())?
            .ask("/v1/status", ANSWER)
            .await?
            .value)
    }

    fn first_agent(&self) -> Result<&LocalAgent> {
        self.mesh.agents().first().context("the mesh has no agent")
    }

    fn regions(&self) -> usize {
        self.mesh.layout().regions.len()
    }

    fn begin(&mut self, step: &'static str) -> Result<()> {
        self.step = step;
        let number = self.held.len() + 1;
        print(&format!(
            "\n{}\n",
            self.paint.tone(Tone::Strong, format!("{number}. {step}"))
        ))?;

        Ok(())
    }

    fn hold(&mut self, result: String) -> Result<()> {
        self.tell(Tone::Good, &result)?;
        self.held.push((self.step, result));
        Ok(())
    }

    fn tell(&self, tone: Tone, text: &str) -> Result<()> {
        let at = format!("{:6.1} s", self.begin.elapsed().as_secs_f64());
        print(&format!(
            "{}  {}\n",
            self.paint.tone(Tone::Faint, at),
            self.paint.tone(tone, text)
        ))?;

        Ok(())
    }

    fn summary(&self, failure: Option<&anyhow::Error>) -> String {
        let mut table = Table::new(&["STEP", "HELD", "RESULT"]).heading(self.paint);
        for (step, result) in &self.held {
            table.row(vec![
                (*step).into(),
                self.paint.tone(Tone::Good, "yes"),
                result.clone(),
            ]);
        }

        if let Some(error) = failure {
            table.row(vec![
                self.step.into(),
                self.paint.tone(Tone::Bad, "NO"),
                format!("{error:#}"),
            ]);
        }

        let mut text = format!("\n{}", table.render());
        let taken = seconds(self.begin.elapsed());
        let verdict = if failure.is_none() {
            "Every step held."
        } else {
            "The tour ended at a step that did not hold."
        };

        // Writing to a String can't fail.
        let _ = writeln!(text, "\n{verdict} {taken} in all.");
        text
    }
}

/// The request of the load.
fn request() -> serde_json::Value {
    json!({"inputs": [{"name": "measurements", "shape": [1, 4], "datatype": "FP32", "data": FLOWER}]})
}

fn has_failed(samples: &[Sample]) -> bool {
    samples.iter().any(|sample| sample.outcome.is_err())
}

/// Fails if any request did, with the first one's reason.
fn ensure_none_failed(samples: &[Sample]) -> Result<()> {
    let failed = samples
        .iter()
        .filter_map(|sample| sample.outcome.as_ref().err());
    let Some(first) = failed.clone().next() else {
        return Ok(());
    };
    let within = measure::error_window(samples).map_or(Duration::ZERO, |(from, to)| to - from);

    bail!(
        "{} of {} requests failed, within {}; the first: {first}",
        failed.count(),
        samples.len(),
        seconds(within)
    )
}

/// How users were served after the kill: all of them, or the step does not hold.
fn noticed(samples: &[Sample], killed: Duration, home: &RegionName) -> Result<String> {
    let after: Vec<Sample> = samples
        .iter()
        .filter(|sample| sample.sent + sample.took >= killed)
        .cloned()
        .collect();

    ensure_none_failed(&after)?;
    let last = after
        .iter()
        .rev()
        .find_map(|sample| sample.outcome.as_ref().ok())
        .context("nobody was answered")?;

    ensure!(
        last != home.as_str(),
        "{home} answers although it was killed"
    );

    let slowest = after
        .iter()
        .map(|sample| sample.took)
        .max()
        .unwrap_or_default();

    Ok(format!(
        "no request failed; the slowest took {}; {last} serves",
        seconds(slowest)
    ))
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// What is left of a tour that keeps nothing: its directory, unless something failed and the logs
/// may be wanted.
pub(super) fn clean_up(directory: tempfile::TempDir, outcome: &Result<ExitCode>) -> Result<()> {
    if matches!(outcome, Ok(code) if *code == ExitCode::SUCCESS) {
        return directory
            .close()
            .context("the tour's directory can't be removed");
    }

    let kept: &Path = &directory.keep();
    Ok(print(&format!(
        "Logs and state are kept in {}\n",
        kept.display()
    ))?)
}
