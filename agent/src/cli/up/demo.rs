//! `regionmesh up --demo`: a guided tour that checks itself.
//!
//! A model is published and verified in every region, users send it a steady load through the front
//! door, the region that serves them is killed, DNS moves, the region comes back and is ramped up.
//! A step that fails ends the tour and is reported with what was seen; so does any request that
//! fails. The tour measures from outside, as users and their resolvers do.

mod steps;
mod users;

use crate::cli::{
    connect::ClientOptions,
    text::{Tone, print},
};
use anyhow::{Context, Result, anyhow, ensure};
use futures::future::join_all;
use regionmesh::{
    front_door::{FrontDoor, FrontDoorMetrics},
    local_mesh::{
        LocalMesh, LocalMeshError,
        layout::LocalAgent,
        measure::{self, Load, NotWithin, Sample, wait},
        publish::{self, ModelToPublish},
    },
};
use regionmesh_client::{ANSWER, Client, RegionStatus, Status};
use regionmesh_protocol::{identity::RegionName, models::manifest::ModelName};
use regionmesh_serving::iris_onnx;
use std::{
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use steps::{Steps, seconds};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use users::TIMEOUT;

/// The tour's model.
const MODEL: &str = "iris";
/// Time between two requests of the load: short enough to catch a brief outage, long enough for a
/// busy machine with two cores.
const INTERVAL: Duration = Duration::from_millis(20);
/// Requests in a row that must be answered before a region is killed.
const WARM_UP: usize = 100;
/// Requests in a row after which service counts as restored.
const CALM: usize = 100;
/// Between two polls of the mesh.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Refuses a mesh that can't take the tour: a region is killed, and another must be left.
pub(super) fn check(regions: usize) -> Result<(), LocalMeshError> {
    if regions < 2 {
        Err(LocalMeshError::Options(
            "--demo needs at least 2 regions".into(),
        ))
    } else {
        Ok(())
    }
}

/// Runs the tour on a prepared mesh that is not started: exit code 0 if every step passed, else 1.
pub(super) async fn run(mesh: &LocalMesh, front_door: Vec<SocketAddr>) -> Result<ExitCode> {
    let mut tour = Tour::new(mesh)?;
    let outcome = tour.run(front_door).await;
    if let Err(error) = &outcome {
        tour.steps.note(Tone::Bad, &format!("FAILED: {error:#}"))?;
    }
    print(&tour.steps.summary(outcome.as_ref().err()))?;
    Ok(if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The tour in progress.
struct Tour<'a> {
    mesh: &'a LocalMesh,
    client: Client,
    http: reqwest::Client,
    steps: Steps,
}

/// The agents by their role in the tour.
struct Roles<'a> {
    /// The region that serves, and is killed.
    home: RegionName,
    victims: Vec<&'a LocalAgent>,
    survivors: Vec<&'a LocalAgent>,
    /// The survivor whose view of the mesh is polled.
    observer: &'a LocalAgent,
}

/// The front door; closes when dropped.
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
            steps: Steps::new(),
        })
    }

    async fn run(&mut self, front_door: Vec<SocketAddr>) -> Result<()> {
        let roles = self.start().await?;
        self.publish_and_verify().await?;

        let (door, load) = self.serve(front_door, &roles.home).await?;
        self.steps.begin("The region that serves is killed")?;
        self.steps.note(
            Tone::Strong,
            &format!("kill -9 of every agent of {}", roles.home),
        )?;

        let killed = load.now();
        let moved = killed + self.kill(&roles).await?;

        self.steps.begin("What users noticed")?;
        let is_calm = |samples: &Vec<Sample>| {
            let since = samples.iter().filter(|sample| sample.sent > moved).count();
            users::has_failed(samples) || since >= CALM && load.ended_until() > moved
        };
        let samples = wait(TIMEOUT, || async { load.samples() }, is_calm)
            .await
            .context("users were not served again")?;
        self.steps
            .pass(users::experience(&samples, killed, &roles.home)?)?;

        self.recover(&roles, &door, load).await
    }

    async fn start(&mut self) -> Result<Roles<'a>> {
        self.steps.begin("A mesh without a coordinator")?;
        self.mesh.start().await?;

        let (home, ready) = self.wait_for_plan().await?;
        self.steps.pass(ready)?;

        let (victims, survivors): (Vec<_>, Vec<_>) = self
            .mesh
            .agents()
            .iter()
            .partition(|agent| agent.id.region == home);
        let observer = *survivors
            .first()
            .context("every agent is of the region that serves")?;

        Ok(Roles {
            home,
            victims,
            survivors,
            observer,
        })
    }

    async fn publish_and_verify(&mut self) -> Result<()> {
        self.steps.begin("A model published once")?;
        let taken = self.publish().await?;
        let agent = self
            .mesh
            .agents()
            .first()
            .context("the mesh has no agent")?;
        self.steps.pass(format!(
            "{MODEL} version 1, by the API of {}, in {}",
            agent.id,
            seconds(taken)
        ))?;

        self.steps.begin("Verified in every region")?;
        let taken = self.verify().await?;
        self.steps.pass(format!(
            "all {} regions hold every byte and serve it, {}",
            self.mesh.layout().regions.len(),
            seconds(taken)
        ))
    }

    /// Opens the front door and starts the load.
    async fn serve(
        &mut self,
        front_door: Vec<SocketAddr>,
        home: &RegionName,
    ) -> Result<(Door, Load)> {
        self.steps.begin("Inference through the front door")?;
        let door = self.open(front_door).await?;
        self.check_inference(&door, home).await?;

        let load = Load::start(door.url.clone(), users::request(), INTERVAL)?;
        users::wait_until_served_by(&load, home, WARM_UP).await?;
        self.steps.pass(format!(
            "{WARM_UP} of {WARM_UP} requests answered correctly, all by {home}"
        ))?;

        Ok((door, load))
    }

    /// Kills the region that serves; returns how long the slowest DNS server took to move users.
    async fn kill(&mut self, roles: &Roles<'_>) -> Result<Duration> {
        let kill = join_all(roles.victims.iter().map(|agent| self.mesh.kill(&agent.id)));
        let (ends, moved) = tokio::join!(kill, self.watch_dns(&roles.survivors, &roles.victims));

        ends.into_iter().collect::<Result<Vec<()>, _>>()?;
        let mut last = Duration::ZERO;
        for (agent, moved) in roles.survivors.iter().zip(moved) {
            let moved = moved
                .with_context(|| format!("the DNS server of {} did not move users", agent.id))?;
            self.steps.note(
                Tone::Faint,
                &format!(
                    "the DNS server of {} moved users after {}",
                    agent.id,
                    seconds(moved)
                ),
            )?;

            last = last.max(moved);
        }

        self.steps.pass(format!(
            "every surviving DNS server moved users within {}",
            seconds(last)
        ))?;
        Ok(last)
    }

    async fn recover(&mut self, roles: &Roles<'_>, door: &Door, load: Load) -> Result<()> {
        let home = &roles.home;
        self.steps.begin("The region returns gradually")?;
        let taken = self
            .bring_back(home, &roles.victims, roles.observer)
            .await?;
        users::wait_until_served_by(&load, home, CALM).await?;
        self.check_inference(door, home).await?;

        let all = load.finish().await;
        users::ensure_none_failed(&all)?;
        self.steps.pass(format!(
            "{home} has all its traffic again after {}, no request failed ({} in all)",
            seconds(taken),
            all.len()
        ))
    }

    async fn check_inference(&self, door: &Door, home: &RegionName) -> Result<()> {
        let line = users::check_inference(&self.http, &door.url, home).await?;
        self.steps.note(Tone::Faint, &line)
    }

    /// Waits until every agent knows a plan and judges all regions healthy; returns the region that
    /// serves, and a line about it.
    async fn wait_for_plan(&self) -> Result<(RegionName, String)> {
        let is_well = |status: &Status| {
            status.plan.is_some()
                && status.leader.is_some()
                && status.regions.iter().all(|region| {
                    region.traffic_state == "serving" && region.verdict.as_str() == "healthy"
                })
        };
        let poll =
            || async { join_all(self.mesh.agents().iter().map(|agent| self.status(agent))).await };

        let all = wait(TIMEOUT, poll, |all| {
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
        let taken = seconds(self.steps.elapsed());
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

    /// Waits until every region has verified every byte and every agent serves the model.
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

        let poll = || async {
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

        wait(TIMEOUT, poll, |ready| {
            ready.iter().all(|&is_ready| is_ready)
        })
        .await
        .context("not every agent serves it")?;

        Ok(begin.elapsed())
    }

    async fn open(&self, listen: Vec<SocketAddr>) -> Result<Door> {
        let metrics = FrontDoorMetrics::new(&regionmesh_runtime::metrics::Registry::new())?;
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

    /// How long each survivor went on answering with an address of a victim.
    async fn watch_dns(
        &self,
        survivors: &[&LocalAgent],
        victims: &[&LocalAgent],
    ) -> Vec<Result<Duration, NotWithin>> {
        let servers: Vec<_> = survivors.iter().map(|agent| agent.dns()).collect();
        let gone: Vec<_> = victims.iter().map(|agent| agent.ip.into()).collect();
        measure::watch_dns(&servers, &self.mesh.layout().service(), &gone, TIMEOUT).await
    }

    /// Starts the region's agents and waits until it has all its traffic; prints each step.
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
        self.steps.note(
            Tone::Faint,
            &format!(
                "its agents are ready {} after their start",
                seconds(begin.elapsed())
            ),
        )?;

        let mut seen = String::new();
        // The ramp has its own schedule; the tour fails only if it makes no progress.
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
                self.steps.note(
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

            sleep(POLL_INTERVAL).await;
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
}

/// Removes the tour's temporary directory, unless a step failed: then its logs are of use.
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
