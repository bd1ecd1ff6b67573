//! The actor `cost`: observes what runs, reads bills, and publishes what it costs.
//!
//! Every agent computes the live cost of all regions from the status board, so that each can answer
//! for the mesh. The leader judges budgets and anomalies and publishes notices, which outlive it on
//! the board. The rules are in regionmesh-cost.

mod arguments;
mod bucket;
mod exports;
mod judge;
mod metrics;
mod state;
mod verdict;

use crate::{
    actors::messages::{CoreMessage, CostMessage},
    config::Config,
    cost::{
        books::Books,
        observe::{self, Answers},
        shift::Observed,
        view::{LiveView, pricing},
    },
};
pub use arguments::CostArguments;
use judge::Judge;
pub use metrics::CostMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::gossip::BoardView;
use regionmesh_cost::{Pricing, RegionMap, date_at};
use regionmesh_protocol::status::{
    StatusEntry, StatusKind,
    money::{CostStatus, Notices, REGIONS_MAX, RegionCost},
};
use regionmesh_runtime::time::unix_ms;
use state::SavedState;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use time::Date;
use tokio_util::task::AbortOnDropHandle;
pub use verdict::Verdict;

/// How often running capacity is observed.
const TICK: Duration = Duration::from_secs(5);
/// How often the state is written to the data directory.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// State of the actor.
pub struct CostState {
    arguments: CostArguments,
    regions: Arc<RegionMap>,
    saved: SavedState,
    answers: Answers,
    judge: Judge,
    exports: exports::Exports,
    /// The day for which recommendations were last computed.
    advised_on: Option<Date>,
    is_reading: bool,
    is_stale: bool,
    saved_at: Instant,
    published: Option<CostStatus>,
    watcher: AbortOnDropHandle<()>,
    tasks: tokio::task::JoinSet<()>,
}

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
        let saved = SavedState::load(&config.data_dir).await;
        let mut state = CostState {
            regions: Arc::new(observe::region_map(&config)),
            saved,
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
                "a cost document can't be read; the last version read stays in use"
            );
        }

        if let Some(newest) = books.usage.last() {
            self.saved.adopt(newest);
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
            &mut self.saved.live,
            &config,
            &board,
            &holdings,
            now_ms,
            pricing,
        );

        let regions = self.saved.live.regions(now_ms, pricing);
        self.saved.watch_rates(&regions, now_ms);
        take_notices(&mut self.saved.notices, &board, now_ms);

        let view = LiveView {
            at_ms: now_ms,
            regions,
            meter: Arc::new(self.saved.live.clone()),
            anomalies: self.saved.anomalies(self.judge.billed()),
            budgets: self.judge.budgets().to_vec(),
        };

        self.arguments.metrics.export(&view, &books, &self.regions);
        self.publish_request_costs(&config, &board, &view, pricing, is_leader);
        self.publish(&config, &view, is_leader);
        self.arguments.view.send_replace(Arc::new(view));
        self.exports
            .poll(me, &mut self.tasks, &self.arguments, &config, is_leader);
        self.exports.update_notices(&mut self.saved.notices, now_ms);
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
            self.saved.save(&config.data_dir, &mut self.tasks);
            if is_leader {
                self.save_usage(now_ms);
                self.save_advice(&config, now_ms);
                self.remove_superseded(&config, now_ms);
            }
        }
    }

    /// Publishes to the leader what requests cost, once it is known whether a budget is used up.
    fn publish_request_costs(
        &self,
        config: &Config,
        board: &BoardView,
        view: &LiveView,
        pricing: Pricing<'_>,
        is_leader: bool,
    ) {
        let request_costs = &self.arguments.snapshots.request_costs;
        if !is_leader {
            request_costs.send_if_modified(|costs| costs.take().is_some());
            return;
        }

        let Some(today) = date_at(view.at_ms).filter(|_| self.judge.has_judged()) else {
            return;
        };
        let observed = Observed {
            config,
            board,
            live: &self.saved.live,
            budgets: &view.budgets,
            pricing,
            today,
            now_ms: view.at_ms,
        };

        request_costs.send_replace(Some(Arc::new(observed.request_costs())));
    }

    /// The result of judging budgets, anomalies and bills.
    fn judged(&mut self, verdict: Verdict) {
        let now_ms = unix_ms();
        let config = self.arguments.live.borrow().clone();
        self.judge.ended(
            verdict,
            &config.cost,
            &mut self.saved.notices,
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

        let status = CostStatus {
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
            notices: self.saved.notices.iter().cloned().collect(),
        };

        if self.published.as_ref() != Some(&status)
            && self
                .arguments
                .core
                .cast(CoreMessage::publish(StatusEntry::Cost(status.clone())))
                .is_ok()
        {
            self.published = Some(status);
        }
    }
}

/// Takes over the notices that the live agents publish.
fn take_notices(notices: &mut Notices, board: &BoardView, now_ms: u64) {
    for view in board.agents.values().filter(|view| view.is_alive) {
        if let Some(StatusEntry::Cost(status)) = view
            .status_entries
            .get(&StatusKind::Cost)
            .map(|seen| &*seen.status_entry)
        {
            for notice in &status.notices {
                notices.take(notice, now_ms);
            }
        }
    }

    notices.forget(now_ms);
}
