//! The actor `cost`: watches what runs and what bills say, and shows what it costs.
//!
//! Every agent counts the live cost of all regions from the status board, so that any of them
//! answers for the mesh. The leader judges budgets and anomalies, and makes notices; these outlive
//! it on the board. The rules are in regionmesh-cost.

mod exports;
mod judge;
mod metrics;
mod state;

use crate::{
    actors::messages::{CostMessage, GossipMessage},
    address::Address,
    config::Config,
    cost::{
        advice::Advice,
        answers::{Sources, recommendations},
        archive::{Archive, Kind, Slot, sort},
        books::Books,
        observe::{self, Answers},
        questions::Wishes,
        shift::Observed,
        view::{LiveView, pricing},
    },
    snapshots::Snapshots,
};
use judge::Judge;
pub use judge::Verdict;
pub use metrics::CostMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::gossip::BoardView;
use regionmesh_cost::{Period, Pricing, RegionMap, date_at, end_of_day_ms};
use regionmesh_protocol::{
    identity::AgentId,
    status::{
        StatusEntry, StatusKind,
        money::{CostStatus, REGIONS_MAX, RegionCost},
    },
};
use regionmesh_runtime::{meter::Meter, time::unix_ms};
use state::Kept;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use time::Date;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// How often what runs is observed.
const TICK: Duration = Duration::from_secs(5);
/// How often the state is written to the data directory.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How long superseded documents are left for readers of a catalogue that still names them,
/// milliseconds.
const SUPERSEDED_KEPT_MS: u64 = 10 * 60_000;

/// What the actor is started with, each time.
#[derive(Clone)]
pub struct CostArguments {
    /// The configuration in force.
    pub live: watch::Receiver<Arc<Config>>,
    /// Who we are.
    pub id: AgentId,
    /// When the process started, Unix milliseconds.
    pub started_ms: u64,
    /// What the other actors show.
    pub snapshots: Snapshots,
    /// Spreads what is counted.
    pub gossip: Address<GossipMessage>,
    /// What this agent counted.
    pub meter: Meter,
    /// The documents.
    pub archive: Archive,
    /// Where bills and prices are shown.
    pub books: Arc<watch::Sender<Arc<Books>>>,
    /// Where the live plane is shown.
    pub view: Arc<watch::Sender<Arc<LiveView>>>,
    /// The metrics.
    pub metrics: CostMetrics,
}

/// State of the actor.
pub struct CostState {
    arguments: CostArguments,
    regions: Arc<RegionMap>,
    kept: Kept,
    answers: Answers,
    judge: Judge,
    exports: exports::Exports,
    /// The day whose recommendations were looked for.
    advised_on: Option<Date>,
    is_reading: bool,
    is_stale: bool,
    saved_at: Instant,
    published: Option<CostStatus>,
    watcher: AbortOnDropHandle<()>,
    tasks: tokio::task::JoinSet<()>,
}

/// The actor.
pub struct CostActor;

impl Actor for CostActor {
    type Msg = CostMessage;
    type State = CostState;
    type Arguments = CostArguments;

    async fn pre_start(
        &self,
        me: ActorRef<CostMessage>,
        arguments: CostArguments,
    ) -> Result<CostState, ActorProcessingErr> {
        let mut catalogue = arguments.snapshots.catalogue.subscribe();
        let watcher = tokio::spawn({
            let me = me.clone();
            async move {
                while catalogue.changed().await.is_ok()
                    && me.cast(CostMessage::CatalogueChanged).is_ok()
                {}
            }
        });

        me.send_interval(TICK, || CostMessage::Tick);
        let config = arguments.live.borrow().clone();
        let kept = Kept::load(&config.data_dir).await;
        let mut state = CostState {
            regions: Arc::new(observe::region_map(&config)),
            kept,
            answers: Answers::default(),
            judge: Judge::default(),
            exports: exports::Exports::default(),
            advised_on: None,
            is_reading: false,
            is_stale: false,
            saved_at: Instant::now(),
            published: None,
            watcher: AbortOnDropHandle::new(watcher),
            tasks: tokio::task::JoinSet::new(),
            arguments,
        };

        state.read_books(&me);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<CostMessage>,
        message: CostMessage,
        state: &mut CostState,
    ) -> Result<(), ActorProcessingErr> {
        while state.tasks.try_join_next().is_some() {}
        match message {
            CostMessage::CatalogueChanged => state.read_books(&me),
            CostMessage::BooksRead(books) => state.books_read(&me, books),
            CostMessage::Tick => {
                if state.watcher.is_finished() {
                    return Err("the catalogue's watcher ended".into());
                }
                state.tick(&me);
            }
            CostMessage::Judged(verdict) => state.judged(*verdict),
            CostMessage::ExportRead(url, outcome) => {
                state.exports.ended(&url, outcome, &state.arguments)
            }
        }

        Ok(())
    }
}

impl CostState {
    fn read_books(&mut self, me: &ActorRef<CostMessage>) {
        if self.is_reading {
            self.is_stale = true;
            return;
        }

        (self.is_reading, self.is_stale) = (true, false);
        let catalogue = self.arguments.snapshots.catalogue.borrow().clone();
        let me = me.clone();
        let archive = self.arguments.archive.clone();
        let books = self.arguments.books.borrow().clone();

        self.tasks.spawn(async move {
            let books = books.refreshed(&archive, &catalogue).await;
            let _ = me.cast(CostMessage::BooksRead(books));
        });
    }

    fn books_read(&mut self, me: &ActorRef<CostMessage>, books: Arc<Books>) {
        self.is_reading = false;
        for why in &books.unreadable {
            tracing::error!(
                why,
                "a document about money can't be read; what was read of it before stays in use"
            );
        }

        if let Some(newest) = books.usage.last() {
            self.kept.adopt(newest);
        }
        self.judge.books_changed();
        self.arguments.books.send_replace(books);
        if self.is_stale {
            self.read_books(me);
        }
    }

    fn tick(&mut self, me: &ActorRef<CostMessage>) {
        let now_ms = unix_ms();
        let config = self.arguments.live.borrow().clone();
        let books = self.arguments.books.borrow().clone();
        let board = self.arguments.snapshots.board.borrow().clone();
        let is_leader = self.arguments.snapshots.leader.borrow().is_self;
        let pricing = pricing(&books, &self.regions);

        if !is_leader {
            self.judge.stand_down(&self.arguments.metrics);
        }

        let holdings = observe::holdings(&self.arguments.id.region, &self.arguments.snapshots);
        observe::observe(
            &mut self.kept.live,
            &config,
            &board,
            &holdings,
            now_ms,
            pricing,
        );

        let regions = self.kept.live.regions(now_ms, pricing);
        self.kept.watch_rates(&regions, now_ms);
        for view in board.agents.values().filter(|view| view.is_alive) {
            if let Some(StatusEntry::Cost(status_entries)) = view
                .status_entries
                .get(&StatusKind::Cost)
                .map(|seen| &*seen.status_entry)
            {
                for notice in &status_entries.notices {
                    self.kept.notices.take(notice, now_ms);
                }
            }
        }

        self.kept.notices.forget(now_ms);

        let view = LiveView {
            at_ms: now_ms,
            regions,
            meter: Arc::new(self.kept.live.clone()),
            anomalies: self.kept.anomalies(self.judge.billed()),
            budgets: self.judge.budgets().to_vec(),
        };

        self.arguments.metrics.show(&view, &books, &self.regions);
        self.show_request_costs(&config, &board, &view, pricing, is_leader);
        self.publish(&config, &view, is_leader);
        self.arguments.view.send_replace(Arc::new(view));
        self.exports
            .poll(me, &mut self.tasks, &self.arguments, &config, is_leader);
        self.exports.tell(&mut self.kept.notices, now_ms);
        if is_leader {
            self.judge.begin(
                me,
                &mut self.tasks,
                self.arguments.clone(),
                self.regions.clone(),
                now_ms,
            );
        }

        if self.saved_at.elapsed() >= SAVE_EVERY {
            self.saved_at = Instant::now();
            self.kept.save(&config.data_dir, &mut self.tasks);
            if is_leader {
                self.keep_usage(now_ms);
                self.keep_advice(&config, now_ms);
                self.remove_superseded(&config, now_ms);
            }
        }
    }

    /// Shows the leader what requests cost; nothing before it is known whether a budget is used up.
    fn show_request_costs(
        &self,
        config: &Config,
        board: &BoardView,
        view: &LiveView,
        pricing: Pricing<'_>,
        is_leader: bool,
    ) {
        let shown = &self.arguments.snapshots.request_costs;
        if !is_leader {
            shown.send_if_modified(|costs| costs.take().is_some());
            return;
        }

        let Some(today) = date_at(view.at_ms).filter(|_| self.judge.has_judged()) else {
            return;
        };
        let observed = Observed {
            config,
            board,
            live: &self.kept.live,
            budgets: &view.budgets,
            pricing,
            today,
            now_ms: view.at_ms,
        };

        shown.send_replace(Some(Arc::new(observed.request_costs())));
    }

    /// What came of judging budgets, anomalies and bills.
    fn judged(&mut self, verdict: Verdict) {
        let now_ms = unix_ms();
        let config = self.arguments.live.borrow().clone();
        self.judge.ended(
            verdict,
            &config.cost,
            &mut self.kept.notices,
            &self.arguments.metrics,
            now_ms,
        );
    }

    fn publish(&mut self, config: &Config, view: &LiveView, is_leader: bool) {
        let counts = self.arguments.meter.read();
        let share = self
            .arguments
            .snapshots
            .plan
            .borrow()
            .as_ref()
            .map_or(0.0, |committed| {
                observe::away_share(config, &committed.plan, &self.arguments.id.region)
            });

        self.answers.count(counts.answered_bytes, share);
        self.arguments.metrics.count(&counts, self.answers);

        let (models, egress) = observe::published(
            &counts,
            self.answers,
            &self.arguments.id.region,
            self.published.as_ref(),
        );

        let region = |live: &regionmesh_cost::LiveRegion| {
            let currency = config.cost.currency;
            Some(RegionCost {
                region: live.region.parse().ok()?,
                currency: currency.to_string(),
                hourly: live.hourly.of(currency).0,
                today: live.today.total.of(currency).0,
                month: live.month.total.of(currency).0,
                known_ms: live.month.known_ms,
            })
        };

        let status_entries = CostStatus {
            counted_since_ms: self.arguments.started_ms,
            models,
            egress,
            regions: view
                .regions
                .iter()
                .take(REGIONS_MAX)
                .filter_map(region)
                .collect(),
            budgets: if is_leader {
                self.judge.published()
            } else {
                Vec::new()
            },
            notices: self.kept.notices.iter().cloned().collect(),
        };

        if self.published.as_ref() != Some(&status_entries)
            && self
                .arguments
                .gossip
                .cast(GossipMessage::Publish(Box::new(StatusEntry::Cost(
                    status_entries.clone(),
                ))))
                .is_ok()
        {
            self.published = Some(status_entries);
        }
    }

    /// Keeps what was counted in the bucket once a day, so that an agent that starts without a
    /// memory has it.
    fn keep_usage(&mut self, now_ms: u64) {
        let Some(yesterday) = date_at(now_ms).and_then(Date::previous_day) else {
            return;
        };
        let slot = Slot::new(Kind::Use, Period::of(yesterday), "mesh");
        let catalogue = self.arguments.snapshots.catalogue.borrow().clone();

        if sort(&catalogue)
            .0
            .get(&slot)
            .is_some_and(|held| held.published.wall_ms >= end_of_day_ms(yesterday))
        {
            return;
        }

        let Ok(document) = self.kept.live.encode() else {
            return;
        };
        let archive = self.arguments.archive.clone();
        let id = self.arguments.id.to_string();

        self.tasks.spawn(async move {
            let about = vec![("period".to_owned(), Period::of(yesterday).to_string())];
            if let Err(error) = archive.put(&slot, &id, about, document).await {
                tracing::warn!(%error, "what was counted yesterday can't be kept in the bucket; it \
                    stays in the data directory");
            }
        });
    }

    /// Keeps what is recommended once a day, so that bills can show later what came of it.
    fn keep_advice(&mut self, config: &Arc<Config>, now_ms: u64) {
        let Some(today) = date_at(now_ms).filter(|today| self.advised_on != Some(*today)) else {
            return;
        };

        // The nodes of a region that is not heard of yet are not known; there may be more at the
        // next save.
        let board = self.arguments.snapshots.board.borrow().clone();
        if config
            .regions
            .iter()
            .any(|region| !observe::is_heard(region, &board))
        {
            return;
        }

        self.advised_on = Some(today);
        let books = self.arguments.books.borrow().clone();
        let live = self.arguments.view.borrow().clone();
        let sources = Sources::observed(
            config.clone(),
            &books,
            &live,
            &self.arguments.snapshots,
            today,
        );

        let archive = self.arguments.archive.clone();
        let id = self.arguments.id.to_string();
        self.tasks.spawn(async move {
            let found =
                tokio::task::spawn_blocking(move || recommendations(&Wishes::default(), &sources))
                    .await;

            // If nothing can be recommended, `regionmesh optimizer` says why.
            let Ok(Ok(found)) = found else { return };
            if let Err(error) = Advice::keep(&archive, &id, &found, today).await {
                tracing::warn!(%error, "today's recommendations can't be kept in the bucket; no \
                    bill will be compared with them");
            }
        });
    }

    /// Removes documents that another replaced, and bills that are older than they are kept.
    fn remove_superseded(&mut self, config: &Config, now_ms: u64) {
        let catalogue = self.arguments.snapshots.catalogue.borrow().clone();
        let (newest, superseded) = sort(&catalogue);
        let Some(today) = date_at(now_ms) else { return };
        let is_old = |slot: &Slot| {
            slot.period()
                .is_some_and(|period| !config.cost.keeps(period, today))
        };
        let gone = superseded
            .into_iter()
            .filter(|held| held.published.wall_ms.saturating_add(SUPERSEDED_KEPT_MS) < now_ms)
            .chain(
                newest
                    .iter()
                    .filter(|(slot, _)| is_old(slot))
                    .map(|(_, held)| *held),
            );

        let gone: Vec<_> = gone.cloned().collect();
        if gone.is_empty() {
            return;
        }

        let archive = self.arguments.archive.clone();
        self.tasks.spawn(async move {
            for held in gone {
                if let Err(error) = archive.remove(&held).await {
                    tracing::warn!(version = %held.version, %error, "a document about money that \
                        was replaced can't be removed");
                    return;
                }
            }
        });
    }
}
