//! The part: its state, and what each input leads to.

use super::{
    effect::{Effect, Notice},
    fetches::Fetches,
    input::{Input, Scan},
    lack::Lack,
    peers::{Own, Peers},
    scanning::Scanning,
    settings::Settings,
    upkeep::Upkeep,
    view::View,
};
use crate::now::Now;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::{
        catalogue::{Catalogue, Tombstone},
        digest::Digest,
    },
};
use std::{sync::Arc, time::Instant};

/// What one agent decides about its region's store.
#[derive(Debug)]
pub struct Replication {
    pub(super) settings: Settings,
    pub(super) view: View,
    /// None until the store was read.
    pub(super) own: Option<Own>,
    /// Deletions that were recorded and not carried out to the end.
    pub(super) unfinished: Vec<Tombstone>,
    pub(super) peers: Peers,
    pub(super) lack: Option<Arc<Lack>>,
    pub(super) fetches: Fetches,
    pub(super) is_converging: bool,
    pub(super) converge_after: Instant,
    pub(super) upkeep: Upkeep,
    scanning: Scanning,
    has_catalogues: bool,
}

impl Replication {
    /// The part of agent `own`. Starts to act with the first [`Input::StoreChanged`].
    pub fn new(own: AgentId, settings: Settings, now: Now) -> Self {
        Self {
            settings,
            view: View::new(own),
            own: None,
            unfinished: Vec::new(),
            peers: Peers::default(),
            lack: None,
            fetches: Fetches::new(),
            is_converging: false,
            converge_after: now.monotonic,
            upkeep: Upkeep::default(),
            scanning: Scanning::new(now.monotonic),
            has_catalogues: false,
        }
    }

    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Effect>) {
        match input {
            Input::Tick => self.tick(now, out),
            Input::Board(board) => {
                self.view.board = board;
                self.ask(now, out);
            }
            Input::Links(links) => self.view.links = links,
            Input::Gateways(gateways) => self.view.gateways = gateways,
            Input::Routes(routes) => self.view.routes = Some(routes),
            Input::Current(is_current) => self.view.is_current = is_current,
            Input::Leftovers(has_leftovers) => self.upkeep.has_leftovers = has_leftovers,
            Input::StoreChanged => self.scanning.begin(now.monotonic, out),
            Input::Scanned(scanned) => self.scanned(scanned, now, out),
            Input::PeerCatalogue(region, learnt) => self.learnt(region, learnt, now, out),
            Input::ConvergeEnded(outcome) => self.converge_ended(outcome, now, out),
            Input::FetchEnded(version, outcome) => self.fetch_ended(version, outcome, now, out),
            Input::Cleaned(outcome) => {
                if self.upkeep.cleaned(outcome, out) {
                    self.catch_up(now, out);
                }
            }
            Input::LossesFound(found) => self.losses_found(found, now, out),
        }
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.scanning
            .begin_if_due(self.settings.rescan_interval, now.monotonic, out);
        self.ask(now, out);
        self.announce_catalogues(out);
        self.sync(now, out);

        if let Some(own) = &self.own {
            self.upkeep
                .clean_if_due(&own.catalogue, &self.view, now.monotonic, out);
        }
        self.publish_holdings(now, out);
    }

    fn ask(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.peers.ask(&self.view, self.own.as_ref(), now, out);
    }

    fn announce_catalogues(&mut self, out: &mut Vec<Effect>) {
        let is_ready = self.own.is_some() && self.view.is_current;
        if !self.has_catalogues && is_ready && self.peers.are_known(&self.view) {
            self.has_catalogues = true;
            out.push(Effect::HasCatalogues);
        }
    }

    fn learnt(
        &mut self,
        region: RegionName,
        learnt: Result<(Digest, Arc<Catalogue>), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if self.peers.learnt(region, learnt, now, out) {
            self.sync(now, out);
        }
        self.publish_holdings(now, out);
    }

    fn scanned(&mut self, scanned: Result<Scan, String>, now: Now, out: &mut Vec<Effect>) {
        self.scanning.is_running = false;
        match scanned {
            Ok(scan) => {
                self.unfinished = scan.unfinished;
                let own = self.adopt(scan.catalogue, out);
                self.sync(now, out);

                let interval = self.settings.rescan_interval;
                self.upkeep
                    .check_if_due(&own, interval, &self.view, now.monotonic, out);
                self.publish_holdings(now, out);
            }
            Err(why) => out.push(Effect::Notice(Notice::StoreUnreadable(why))),
        }

        self.scanning.repeat_if_stale(now.monotonic, out);
    }

    /// The region holds this.
    fn adopt(&mut self, catalogue: Catalogue, out: &mut Vec<Effect>) -> Arc<Catalogue> {
        if let Some(own) = self.own.as_ref().filter(|own| *own.catalogue == catalogue) {
            return own.catalogue.clone();
        }

        let catalogue = Arc::new(catalogue);
        let digest = catalogue.digest().ok();
        self.own = Some(Own {
            catalogue: catalogue.clone(),
            digest,
        });
        out.push(Effect::OwnCatalogue {
            catalogue: catalogue.clone(),
            digest,
        });

        catalogue
    }

    /// Continues with what is missing, unless a scan that runs will.
    pub(super) fn catch_up(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !self.scanning.is_running {
            self.sync(now, out);
        }
    }
}
