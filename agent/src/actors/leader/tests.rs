//! Three dns-leader actors in one process, over scripted calls, stores in memory and a board that
//! all share.

use super::*;
use crate::refusals::reason;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use prometheus::Registry;
use ractor::ActorStatus;
use regionmesh_core::{
    gossip::{BoardView, SeenStatus},
    health::verdict::RegionVerdict,
    planning::load::LoadMeter,
    recovery::canary::Evidence,
};
use regionmesh_mesh::{Peer, PeerError};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        CommittedPlan, MemberOrder, Order, OrderAction, OverrideKind, Plan, RegionPlan,
        TrafficState,
    },
    status::{LeaderStatus, ServingStatus, StatusEntry, condition::Condition, entry::EntryVersion},
    wire::{OrderRefusal, PeerReply, PeerRequest},
};
use regionmesh_store::{
    SlotMetrics, SlotStore, load_committed_plan, read_history, save_committed_plan,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

const REGIONS: [&str; 3] = ["ap-south-1", "eu-west-1", "us-west-2"];

/// Takes what one agent publishes to everybody's board.
struct Gossip;

#[derive(Clone)]
struct GossipArguments {
    id: AgentId,
    boards: Vec<Snapshots>,
}

impl Actor for Gossip {
    type Msg = GossipMessage;
    type State = GossipArguments;
    type Arguments = GossipArguments;
    async fn pre_start(
        &self,
        _: ActorRef<GossipMessage>,
        arguments: GossipArguments,
    ) -> Result<GossipArguments, ActorProcessingErr> {
        Ok(arguments)
    }
    async fn handle(
        &self,
        _: ActorRef<GossipMessage>,
        message: GossipMessage,
        state: &mut GossipArguments,
    ) -> Result<(), ActorProcessingErr> {
        if let GossipMessage::Publish(status_entry) = message {
            state
                .boards
                .iter()
                .for_each(|snapshots| show(snapshots, &state.id, &status_entry));
        }

        Ok(())
    }
}

fn show(snapshots: &Snapshots, id: &AgentId, status_entry: &StatusEntry) {
    snapshots.board.send_modify(|board| {
        let view = Arc::make_mut(board).agents.entry(id.clone()).or_default();
        view.is_alive = true;

        let seen = SeenStatus {
            status_entry: Arc::new(status_entry.clone()),
            version: EntryVersion::default(),
            seen_at: Instant::now(),
        };

        view.status_entries.insert(status_entry.kind(), seen);
    });
}

/// Calls that reach the actor of the region, unless it is cut off.
#[derive(Clone, Default)]
struct Network {
    actors: Arc<Mutex<BTreeMap<RegionName, ActorRef<LeaderMessage>>>>,
    cut: Arc<Mutex<BTreeSet<RegionName>>>,
}

struct Link {
    from: RegionName,
    network: Network,
}

#[async_trait::async_trait]
impl PeerLink for Link {
    async fn call(
        &self,
        to: &Peer,
        request: PeerRequest,
        timeout: Duration,
    ) -> Result<PeerReply, PeerError> {
        let Peer::Region(region) = to else {
            return Err(PeerError::NotConnected(to.clone()));
        };
        let is_cut = [region, &self.from]
            .iter()
            .any(|region| self.network.cut.lock().unwrap().contains(*region));
        let actor = self
            .network
            .actors
            .lock()
            .unwrap()
            .get(region)
            .cloned()
            .filter(|_| !is_cut);

        let actor = actor.ok_or(PeerError::NotConnected(to.clone()))?;
        let broken = || PeerError::Broken(to.clone(), "gone".into());
        match request {
            PeerRequest::Acceptor(request) => {
                let asked = actor
                    .call(
                        |reply| LeaderMessage::Acceptor(request, reply),
                        Some(timeout),
                    )
                    .await;

                match asked.map_err(|_| broken())?.success_or(broken())? {
                    Ok(reply) => Ok(PeerReply::Acceptor(reply)),
                    Err(error) => Ok(PeerReply::Failed(error)),
                }
            }
            PeerRequest::PreVote(request) => {
                let asked = actor
                    .call(
                        |reply| LeaderMessage::PreVote(request, reply),
                        Some(timeout),
                    )
                    .await;

                Ok(PeerReply::PreVote(
                    asked.map_err(|_| broken())?.success_or(broken())?,
                ))
            }
            _ => Err(broken()),
        }
    }
}

struct Mesh {
    network: Network,
    agents: BTreeMap<RegionName, LeaderArguments>,
    /// What each region's store holds.
    objects: BTreeMap<RegionName, Arc<InMemory>>,
    _dir: tempfile::TempDir,
}

impl Mesh {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let network = Network::default();
        let boards: Vec<_> = REGIONS.iter().map(|_| Snapshots::default()).collect();
        let mut agents = BTreeMap::new();
        let mut objects = BTreeMap::new();

        for (index, name) in REGIONS.iter().enumerate() {
            let config = config(name, &dir.path().join(name));
            let id = config.id();
            let region = config.region.clone();
            let gossip = Address::vacant("gossip");
            let arguments = GossipArguments {
                id: id.clone(),
                boards: boards.clone(),
            };

            gossip.occupy(Actor::spawn(None, Gossip, arguments).await.unwrap().0);
            let registry = Registry::new();
            let slots = SlotMetrics::new(&registry).unwrap();
            let store = Arc::new(InMemory::new());

            objects.insert(region.clone(), store.clone());
            let store = SlotStore::new(store, &"".into(), "region", Duration::from_secs(2), slots);
            let arguments = LeaderArguments {
                config: Arc::new(config),
                id,
                boot: index as u64,
                snapshots: boards[index].clone(),
                gossip,
                peers: Arc::new(Link {
                    from: region.clone(),
                    network: network.clone(),
                }),
                store: Arc::new(store),
                witness: None,
                metrics: LeaderMetrics::new(&registry).unwrap(),
                refusals: Refusals::new(&registry, boards[index].problems.clone()).unwrap(),
            };

            agents.insert(region, arguments);
        }

        let mesh = Self {
            network,
            agents,
            objects,
            _dir: dir,
        };

        for region in mesh.agents.keys() {
            mesh.spawn(region).await;
        }
        mesh
    }

    async fn spawn(&self, region: &RegionName) {
        let (actor, _) = Actor::spawn(None, LeaderActor, self.agents[region].clone())
            .await
            .unwrap();
        self.network
            .actors
            .lock()
            .unwrap()
            .insert(region.clone(), actor);
    }

    /// Kills a region's actor, and tells everybody that its agent is gone.
    async fn kill(&self, region: &RegionName) {
        let actor = self.network.actors.lock().unwrap().remove(region).unwrap();
        actor.kill();

        let id = &self.agents[region].id;
        eventually("the actor stops", || {
            (actor.get_status() == ActorStatus::Stopped).then_some(())
        })
        .await;

        for agent in self.agents.values() {
            agent.snapshots.board.send_modify(|board| {
                Arc::make_mut(board).agents.get_mut(id).unwrap().is_alive = false;
            });
        }
    }

    fn running(&self) -> Vec<&LeaderArguments> {
        let actors = self.network.actors.lock().unwrap();
        self.agents
            .values()
            .filter(|agent| actors.contains_key(&agent.id.region))
            .collect()
    }

    /// The leader, once exactly one running agent leads and all running agents follow it.
    async fn leader(&self) -> RegionName {
        eventually("one leader that all follow", || {
            let views: Vec<_> = self
                .running()
                .iter()
                .map(|agent| (agent.id.clone(), agent.snapshots.leader.borrow().clone()))
                .collect();
            let leaders: Vec<_> = views.iter().filter(|(_, view)| view.is_self).collect();
            let [(id, view)] = leaders[..] else {
                return None;
            };

            views
                .iter()
                .all(|(_, other)| other.ballot == view.ballot)
                .then(|| id.region.clone())
        })
        .await
    }

    /// The plan that all running agents hold.
    async fn plan(&self, is_wanted: impl Fn(&CommittedPlan) -> bool) -> Arc<CommittedPlan> {
        eventually("one plan that all know", || {
            let plans: Vec<_> = self
                .running()
                .iter()
                .map(|agent| agent.snapshots.plan.borrow().clone())
                .collect::<Option<_>>()?;

            (plans.windows(2).all(|pair| pair[0] == pair[1]) && is_wanted(&plans[0]))
                .then(|| plans[0].clone())
        })
        .await
    }

    fn set_verdict(&self, region: &str, condition: Condition) {
        for agent in self.agents.values() {
            let verdict = RegionVerdict {
                condition,
                since_ms: 1,
                votes: Vec::new(),
                reason: "test".into(),
                addresses: Vec::new(),
            };

            agent.snapshots.verdicts.send_modify(|verdicts| {
                Arc::make_mut(verdicts).insert(region.parse().unwrap(), verdict);
            });
        }
    }
}

async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn config(region: &str, data_dir: &std::path::Path) -> Config {
    let regions: String = REGIONS
        .iter()
        .map(|name| {
            format!(
                "[[regions]]\nname = {name:?}\nendpoint = \"127.0.0.1:1\"\nserving_url = \
                \"http://127.0.0.1:2\"\n"
            )
        })
        .collect();

    let text = format!(
        "mesh = \"test\"\nregion = {region:?}\nagent = \"a\"\ndata_dir = {data_dir:?}\n\
         [tls]\nca = \"x\"\ncertificate = \"x\"\nkey = \"x\"\n\
         [listen]\nmesh = \"127.0.0.1:1\"\ndns = \"127.0.0.1:1\"\napi = \"127.0.0.1:1\"\nserving = \
         \"127.0.0.1:1\"\n\
         [store]\nurl = \"memory:///\"\n{regions}"
    );

    toml::from_str(&text).unwrap()
}

#[tokio::test]
async fn one_leads_all_know_its_plan_and_a_successor_keeps_it() {
    let mesh = Mesh::start().await;
    let first = mesh.leader().await;
    let plan = mesh.plan(|plan| plan.plan.regions.len() == 3).await;

    assert!(
        plan.plan
            .regions
            .values()
            .all(|region| region.weight_bp > 0),
        "{plan:?}"
    );

    mesh.set_verdict("eu-west-1", Condition::Failed);
    let failed: RegionName = "eu-west-1".parse().unwrap();
    let moved = mesh
        .plan(|plan| plan.plan.regions[&failed].weight_bp == 0)
        .await;

    assert!(moved.stamp > plan.stamp);

    // A leader in the failed region makes room; whoever leads then is killed.
    let leader = mesh.leader().await;
    mesh.kill(&leader).await;

    let second = mesh.leader().await;
    assert_ne!(leader, second);

    let kept = mesh
        .plan(|plan| plan.stamp.ballot.agent.region == second)
        .await;
    assert_eq!(
        kept.plan.regions[&failed].weight_bp, 0,
        "first leader {first}"
    );

    assert!(kept.stamp > moved.stamp);

    // Back again, it follows, and knows the plan from its disk or its peers.
    mesh.spawn(&leader).await;
    assert_eq!(mesh.leader().await, second);
    mesh.plan(|plan| plan.stamp >= kept.stamp).await;
}

#[tokio::test]
async fn a_leader_without_a_majority_steps_down_and_keeps_its_plan() {
    let mesh = Mesh::start().await;
    mesh.plan(|_| true).await;

    let leader = mesh.leader().await;
    let others = mesh
        .agents
        .keys()
        .filter(|region| **region != leader)
        .cloned();

    mesh.network.cut.lock().unwrap().extend(others);
    let cut_off = &mesh.agents[&leader].snapshots;
    eventually("the leader steps down", || {
        (!cut_off.leader.borrow().is_self).then_some(())
    })
    .await;

    assert!(cut_off.plan.borrow().is_some());
}

impl Mesh {
    async fn order(
        &self,
        to: &RegionName,
        kind: OverrideKind,
        region: &str,
    ) -> Result<CommittedPlan, OrderRefusal> {
        let order = Order {
            action: OrderAction::Set(kind),
            region: Some(region.parse().unwrap()),
            by: "ann".into(),
            why: "test".into(),
            for_ms: 600_000,
            is_forced: false,
            is_immediate: false,
        };

        let actor = self.network.actors.lock().unwrap()[to].clone();
        let asked = actor.call(
            |reply| LeaderMessage::Order(Box::new(order), reply),
            Some(Duration::from_secs(20)),
        );

        match asked.await.unwrap() {
            ractor::rpc::CallResult::Success(answer) => answer,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_order_is_answered_once_committed_and_survives_the_leader_that_took_it() {
    let mesh = Mesh::start().await;
    let leader = mesh.leader().await;
    mesh.plan(|_| true).await;

    let others: Vec<RegionName> = mesh
        .agents
        .keys()
        .filter(|region| **region != leader)
        .cloned()
        .collect();
    let refused = mesh
        .order(&others[0], OverrideKind::Drain, "eu-west-1")
        .await;

    assert!(
        matches!(refused, Err(OrderRefusal::NotNow(_))),
        "{refused:?}"
    );

    let drained: RegionName = "eu-west-1".parse().unwrap();
    let committed = mesh
        .order(&leader, OverrideKind::Drain, "eu-west-1")
        .await
        .unwrap();

    assert_eq!(committed.plan.regions[&drained].weight_bp, 0);
    let known = mesh.plan(|plan| plan.stamp >= committed.stamp).await;
    assert_eq!(known.plan.overrides, committed.plan.overrides);

    let metrics = &mesh.agents[&leader].metrics;
    assert_eq!(metrics.orders.with_label_values(&["committed"]).get(), 1);
    assert_eq!(metrics.overrides.with_label_values(&["drain"]).get(), 1);
    for agent in mesh.running() {
        assert_eq!(agent.metrics.leader_known.get(), 1, "{}", agent.id);
    }

    mesh.kill(&leader).await;
    let next = mesh.leader().await;
    let kept = mesh
        .plan(|plan| plan.stamp.ballot.agent.region == next)
        .await;

    assert_eq!(
        (&kept.plan.overrides, kept.plan.regions[&drained].weight_bp),
        (&committed.plan.overrides, 0)
    );

    let dir = &mesh.agents[&next].config.data_dir;
    eventually("the history tells of the order", || {
        read_history(dir)
            .unwrap()
            .iter()
            .any(|past| past.committed.stamp == committed.stamp)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_order_that_no_majority_takes_is_not_answered_as_done() {
    let mesh = Mesh::start().await;
    mesh.plan(|_| true).await;

    let leader = mesh.leader().await;
    let others = mesh
        .agents
        .keys()
        .filter(|region| **region != leader)
        .cloned();

    mesh.network.cut.lock().unwrap().extend(others);
    let refused = mesh.order(&leader, OverrideKind::Drain, "eu-west-1").await;
    assert!(
        matches!(
            refused,
            Err(OrderRefusal::Unknown(_) | OrderRefusal::NotNow(_))
        ),
        "{refused:?}"
    );
}

/// An agent of the mesh as a new process: what it kept on disk, nobody heard yet, every call
/// refused.
async fn restarted(mesh: &Mesh) -> (LeaderArguments, Arc<CommittedPlan>) {
    let plan = mesh.plan(|_| true).await;
    let known = mesh.agents.values().next().unwrap();
    let dir = &known.config.data_dir;

    eventually("the plan is on disk", || {
        load_committed_plan(dir)
            .ok()
            .flatten()
            .filter(|kept| kept.stamp >= plan.stamp)
    })
    .await;

    let fresh = LeaderArguments {
        snapshots: Snapshots::default(),
        gossip: Address::vacant("gossip"),
        peers: Arc::new(Link {
            from: known.id.region.clone(),
            network: Network::default(),
        }),
        ..known.clone()
    };

    (fresh, plan)
}

#[tokio::test]
async fn a_restarted_agent_goes_on_with_its_last_plan_where_nobody_can_be_heard() {
    let mesh = Mesh::start().await;
    let (fresh, plan) = restarted(&mesh).await;
    let (actor, _) = Actor::spawn(None, LeaderActor, fresh.clone())
        .await
        .unwrap();

    assert!(
        fresh
            .snapshots
            .plan
            .borrow()
            .as_ref()
            .is_some_and(|known| known.stamp >= plan.stamp)
    );

    assert!(!*fresh.snapshots.is_current.borrow(), "nobody was heard");
    eventually("it goes on alone", || {
        fresh.snapshots.is_current.borrow().then_some(())
    })
    .await;

    actor.stop(None);
}

/// A plan like `plan` that was never committed, ahead of all others.
fn forged(plan: &CommittedPlan, number: u64) -> CommittedPlan {
    let mut forged = plan.clone();
    forged.stamp.ballot.number = number;
    forged.stamp.seq += 1_000;
    forged
        .plan
        .regions
        .values_mut()
        .for_each(|region| region.addresses = vec!["127.66.66.66".parse().unwrap()]);

    forged
}

#[tokio::test]
async fn a_plan_that_one_agent_alone_tells_of_is_refused_and_a_restarted_agent_waits_for_a_genuine_one()
 {
    let mesh = Mesh::start().await;
    let (fresh, plan) = restarted(&mesh).await;
    let region = fresh.id.region.clone();
    let fresh = LeaderArguments {
        peers: Arc::new(Link {
            from: region,
            network: mesh.network.clone(),
        }),
        ..fresh
    };

    // The leader is believed about plans of its own.
    let is_other = |id: &&AgentId| id.region != fresh.id.region && **id != plan.stamp.ballot.agent;
    let other = mesh
        .agents
        .values()
        .map(|agent| &agent.id)
        .find(is_other)
        .unwrap()
        .clone();

    show(
        &fresh.snapshots,
        &fresh.id,
        &StatusEntry::Plan((*plan).clone()),
    );
    let (actor, _) = Actor::spawn(None, LeaderActor, fresh.clone())
        .await
        .unwrap();
    assert!(
        !*fresh.snapshots.is_current.borrow(),
        "its own word is not another's"
    );

    for number in [plan.stamp.ballot.number, plan.stamp.ballot.number + 1_000] {
        show(
            &fresh.snapshots,
            &other,
            &StatusEntry::Plan(forged(&plan, number)),
        );
        // Reported once a while for each agent.
        let is_refused = || (fresh.refusals.count(reason::PLAN_NOT_COMMITTED) > 0).then_some(());
        eventually("the forged plan is refused", is_refused).await;
    }

    show(
        &fresh.snapshots,
        &other,
        &StatusEntry::Plan((*plan).clone()),
    );
    let mut is_current = fresh.snapshots.is_current.subscribe();
    is_current.wait_for(|&is_current| is_current).await.unwrap();

    let known = fresh.snapshots.plan.borrow().clone().unwrap();
    assert!(
        known.stamp >= plan.stamp && known.stamp.seq < plan.stamp.seq + 1_000,
        "{known:?}"
    );

    actor.stop(None);
}

#[tokio::test]
async fn a_plan_on_disk_that_was_never_committed_gives_way_to_the_register() {
    let mesh = Mesh::start().await;
    let (fresh, plan) = restarted(&mesh).await;
    let dir = tempfile::tempdir().unwrap();

    save_committed_plan(dir.path(), &forged(&plan, u64::MAX)).unwrap();
    let config = Config {
        data_dir: dir.path().into(),
        ..(*fresh.config).clone()
    };
    let link = Link {
        from: fresh.id.region.clone(),
        network: mesh.network.clone(),
    };

    let fresh = LeaderArguments {
        peers: Arc::new(link),
        config: Arc::new(config),
        ..fresh
    };
    let (actor, _) = Actor::spawn(None, LeaderActor, fresh.clone())
        .await
        .unwrap();
    let known = eventually("the register's plan", || {
        fresh
            .snapshots
            .plan
            .borrow()
            .clone()
            .filter(|known| known.stamp.ballot.number < u64::MAX)
    })
    .await;

    assert!(known.stamp >= plan.stamp, "{known:?}");
    actor.stop(None);
}

#[tokio::test]
async fn no_ballot_that_somebody_tells_of_ends_elections() {
    let mesh = Mesh::start().await;
    mesh.plan(|_| true).await;

    let leader = mesh.leader().await;
    let thief = mesh.agents[&leader].id.clone();
    let last = Ballot {
        number: u64::MAX,
        agent: thief.clone(),
        boot: 7,
    };
    let status_entries = LeaderStatus {
        leading: Some(last.clone()),
        highest: Some(last.clone()),
    };

    let others: Vec<&LeaderArguments> = mesh
        .agents
        .values()
        .filter(|agent| agent.id != thief)
        .collect();

    mesh.kill(&leader).await;
    for agent in &others {
        // Its agent lives on for all that can be seen.
        show(
            &agent.snapshots,
            &thief,
            &StatusEntry::Leader(status_entries.clone()),
        );
        let actor = mesh.network.actors.lock().unwrap()[&agent.id.region].clone();
        let prepare = AcceptorRequest::Prepare(last.clone());
        let asked = actor.call(
            |reply| LeaderMessage::Acceptor(prepare, reply),
            Some(Duration::from_secs(20)),
        );
        let answer = asked.await.unwrap().unwrap().unwrap();

        assert!(
            matches!(answer.reply, AcceptorReply::TooFar(_)),
            "{answer:?}"
        );
    }

    let next = mesh.leader().await;
    assert_ne!(next, leader);
    mesh.plan(|plan| plan.stamp.ballot.agent.region == next)
        .await;

    for agent in others {
        eventually("the claim is counted", || {
            (agent.refusals.count(reason::BALLOT_TOO_FAR) > 0).then_some(())
        })
        .await;
    }
}

/// A board on which each region's agent tells what it served.
fn serving_board(told: &[(&str, bool, ServingStatus)]) -> BoardView {
    let snapshots = Snapshots::default();
    for (region, is_alive, status_entries) in told {
        let id: AgentId = format!("{region}/a").parse().unwrap();
        show(
            &snapshots,
            &id,
            &StatusEntry::Serving(status_entries.clone()),
        );
        snapshots.board.send_modify(|board| {
            Arc::make_mut(board).agents.get_mut(&id).unwrap().is_alive = *is_alive;
        });
    }

    (**snapshots.board.borrow()).clone()
}

fn told(requests_total: u64, errors_total: u64) -> ServingStatus {
    ServingStatus {
        is_ready: true,
        requests_total,
        errors_total,
        ..ServingStatus::default()
    }
}

#[test]
fn what_agents_tell_of_their_service_is_what_a_ramp_is_judged_by() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config("us-west-2", dir.path());
    config.regions[1].capacity_rps = Some(500);

    let part = |traffic_state| RegionPlan {
        weight_bp: 100,
        traffic_state,
        ..RegionPlan::default()
    };
    let regions = REGIONS.map(|name| {
        let traffic_state = if name == "eu-west-1" {
            TrafficState::Ramping {
                step: 2,
                since_ms: 5,
            }
        } else {
            TrafficState::Serving
        };

        (name.parse().unwrap(), part(traffic_state))
    });

    let plan = Plan {
        regions: regions.into(),
        ..Plan::default()
    };
    let eu = "eu-west-1".parse().unwrap();
    let verdicts = BTreeMap::new();
    let mut meter = LoadMeter::default();
    let mut look = |config: &Config, board: &BoardView, now_ms| {
        meter.observe(board::served(board), now_ms);
        board::plan_inputs(
            config,
            board,
            &verdicts,
            &mut meter,
            Some(&plan),
            &plan.members,
        )
        .regions[&eu]
            .clone()
    };

    let all = |eu: ServingStatus, others: u64| {
        serving_board(&[
            ("ap-south-1", true, told(others, 0)),
            ("eu-west-1", true, eu),
            ("us-west-2", true, told(others, 0)),
        ])
    };

    look(&config, &all(told(1_000, 0), 1_000), 0);
    let input = look(&config, &all(told(1_090, 10), 2_000), 5_000);
    let Evidence::Measured(comparison) = &input.evidence else {
        panic!("{input:?}")
    };

    assert_eq!(
        (
            comparison.step,
            comparison.since_ms,
            comparison.own.answered,
            comparison.own.errors
        ),
        (2, 5, 90, 10)
    );

    assert_eq!(comparison.control.unwrap().answered, 2_000);
    assert_eq!(
        (input.load_rps, input.capacity_rps, input.is_loaded),
        (Some(20), Some(500), true)
    );

    let loading = ServingStatus {
        is_ready: false,
        ..told(1_090, 10)
    };

    assert!(!look(&config, &all(loading, 2_000), 6_000).is_loaded);
    // A region that serves falls silent: nobody to compare with is missing, not absent.
    let silent = serving_board(&[
        ("ap-south-1", false, told(2_000, 0)),
        ("eu-west-1", true, told(1_090, 10)),
    ]);

    assert_eq!(look(&config, &silent, 7_000).evidence, Evidence::Missing);
    config.serving.embedded = false;

    let input = look(&config, &silent, 8_000);
    assert_eq!(
        (input.evidence, input.is_loaded),
        (Evidence::NotMeasured, true)
    );
}

#[tokio::test]
async fn an_acceptor_whose_store_was_emptied_is_suspended_and_joins_again() {
    let mesh = Mesh::start().await;
    let leader = mesh.leader().await;
    let lost: RegionName = mesh
        .agents
        .keys()
        .find(|region| **region != leader)
        .cloned()
        .unwrap();
    let before = mesh
        .plan(|plan| plan.plan.members.acceptors.values().all(Option::is_some))
        .await;
    let objects = &mesh.objects[&lost];

    for slot in objects
        .list(None)
        .map_ok(|meta| meta.location)
        .try_collect::<Vec<_>>()
        .await
        .unwrap()
    {
        objects.delete(&slot).await.unwrap();
    }

    let vote = |plan: &CommittedPlan| plan.plan.members.acceptors[&lost];
    let after = mesh
        .plan(|plan| vote(plan).is_some() && vote(plan) != vote(&before))
        .await;

    assert!(
        after.plan.reason.contains("joined the register and votes"),
        "{}",
        after.plan.reason
    );

    let metrics = &mesh.agents[&leader].metrics;
    for change in ["suspend", "join"] {
        assert_eq!(
            metrics.member_changes.with_label_values(&[change]).get(),
            1,
            "{change}"
        );
    }
}

#[tokio::test]
async fn a_leader_whose_region_is_removed_makes_room_and_the_rest_goes_on_without_it() {
    let mesh = Mesh::start().await;
    let leader = mesh.leader().await;
    mesh.plan(|plan| plan.plan.members.acceptors.values().all(Option::is_some))
        .await;

    let others: Vec<RegionName> = mesh
        .agents
        .keys()
        .filter(|region| **region != leader)
        .cloned()
        .collect();

    let remove = |force| Order {
        action: OrderAction::Member(MemberOrder::Remove { force }),
        region: Some(leader.clone()),
        by: "ann".into(),
        why: "test".into(),
        for_ms: 0,
        is_forced: false,
        is_immediate: false,
    };

    let asked = |order| {
        let actor = mesh.network.actors.lock().unwrap()[&leader].clone();
        async move {
            let asked = actor.call(
                |reply| LeaderMessage::Order(Box::new(order), reply),
                Some(Duration::from_secs(20)),
            );
            asked.await.unwrap().unwrap()
        }
    };

    let refused = asked(remove(false)).await;
    assert!(
        matches!(&refused, Err(OrderRefusal::Wrong(why)) if why.to_string().contains("of the traffic")),
        "{refused:?}"
    );

    let committed = asked(remove(true)).await.unwrap();
    assert!(!committed.plan.regions.contains_key(&leader) && !committed.plan.members.has(&leader));

    let metrics = &mesh.agents[&leader].metrics;
    eventually("it steps down", || {
        (metrics.step_downs.with_label_values(&["removed"]).get() == 1).then_some(())
    })
    .await;

    // One of the others leads, with two votes, and no automation.
    let next = mesh.leader().await;
    assert!(others.contains(&next), "{next}");

    let plan = mesh
        .plan(|plan| plan.stamp.ballot.agent.region == next)
        .await;
    assert_eq!(plan.plan.members.len(), 2);
    mesh.set_verdict(others[0].as_str(), Condition::Failed);

    let metrics = &mesh.agents[&next].metrics;
    assert_eq!(metrics.is_refused.get(), 1);

    // No other region can serve, so the drain takes effect in name only and must be forced.
    let drain = Order {
        action: OrderAction::Set(OverrideKind::Drain),
        region: Some(others[1].clone()),
        for_ms: 600_000,
        is_forced: true,
        ..remove(false)
    };
    let actor = mesh.network.actors.lock().unwrap()[&next].clone();

    let asked = actor.call(
        |reply| LeaderMessage::Order(Box::new(drain), reply),
        Some(Duration::from_secs(20)),
    );
    let drained = asked.await.unwrap().unwrap().unwrap();

    assert!(
        drained.plan.regions[&others[0]].weight_bp > 0,
        "a verdict moved traffic although automation is refused"
    );
}
