//! What the actor saves in the agent's data directory for its next start.

use crate::cost::books::LIVE_GAP_MS;
use regionmesh_cost::{
    Amount, Anomaly, Currency, LiveAnomalies, LiveChange, LiveMeter, LiveRegion, Totals,
};
use regionmesh_protocol::{codec, status::money::Notices};
use regionmesh_runtime::files::replace_file;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};
use tokio::task::JoinSet;

const FILE: &str = "cost-state";
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
/// Most anomalies that are published after their end.
const CLOSED_MAX: usize = 64;

/// A region's live cost at the last minute, by what it is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Reading {
    at_ms: u64,
    parts: BTreeMap<(Currency, String), Amount>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    live: Vec<u8>,
    notices: Notices,
    watches: BTreeMap<(String, Currency), LiveAnomalies>,
    readings: BTreeMap<String, Reading>,
    closed: Vec<Anomaly>,
}

/// The saved state.
pub(super) struct SavedState {
    /// The live cost.
    pub(super) live: LiveMeter,
    /// Notices that were published.
    pub(super) notices: Notices,
    watches: BTreeMap<(String, Currency), LiveAnomalies>,
    readings: BTreeMap<String, Reading>,
    closed: Vec<Anomaly>,
    /// Whether the live cost began at zero with this process.
    is_fresh: bool,
}

impl SavedState {
    /// The state that was saved, or an empty one.
    pub(super) async fn load(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let read = tokio::fs::read(&path).await.ok();
        let stored = read.and_then(|bytes| match codec::decode_document::<Stored>(&bytes) {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::warn!(
                    path = %path.display(),
                    %error,
                    "the saved live cost can't be read; it starts at zero"
                );
                None
            }
        });

        let Stored {
            live,
            notices,
            watches,
            readings,
            closed,
        } = stored.unwrap_or_default();
        let live = LiveMeter::decode(&live, LIVE_GAP_MS).ok();
        let is_fresh = live.is_none();

        Self {
            live: live.unwrap_or_else(|| LiveMeter::new(LIVE_GAP_MS)),
            notices,
            watches,
            readings,
            closed,
            is_fresh,
        }
    }

    /// Takes over the usage of other agents if this one has no saved state.
    pub(super) fn adopt(&mut self, counted: &LiveMeter) {
        if std::mem::take(&mut self.is_fresh) {
            self.live = counted.clone();
        }
    }

    /// Saves all in the background.
    pub(super) fn save(&self, data_dir: &Path, tasks: &mut JoinSet<()>) {
        let live = match self.live.encode() {
            Ok(live) => live,
            Err(error) => return tracing::warn!(%error, "live cost can't be saved"),
        };
        let stored = Stored {
            live,
            notices: self.notices.clone(),
            watches: self.watches.clone(),
            readings: self.readings.clone(),
            closed: self.closed.clone(),
        };

        let path = data_dir.join(FILE);
        tasks.spawn_blocking(move || {
            if let Err(error) = write(&path, &stored) {
                tracing::warn!(
                    path = %path.display(),
                    error,
                    "the state of live cost can't be saved"
                );
            }
        });
    }

    /// Checks the regions' rates for anomalies, once a minute.
    pub(super) fn watch_rates(&mut self, regions: &[LiveRegion], now_ms: u64) {
        for region in regions {
            let minute_ms = now_ms / MINUTE_MS * MINUTE_MS;
            let before = self.readings.get(&region.region);
            if before.is_some_and(|before| minute_ms <= before.at_ms) {
                continue;
            }

            let reading = Reading {
                at_ms: minute_ms,
                parts: parts(region),
            };

            if let Some(before) = self.readings.insert(region.region.clone(), reading.clone()) {
                self.watch_rate(&region.region, &before, &reading);
            }
        }
    }

    fn watch_rate(&mut self, region: &str, before: &Reading, now: &Reading) {
        let mut rates: BTreeMap<Currency, BTreeMap<String, Amount>> = BTreeMap::new();
        for ((currency, part), amount) in &now.parts {
            let spent = *amount
                - before
                    .parts
                    .get(&(*currency, part.clone()))
                    .copied()
                    .unwrap_or_default();

            // A new month has begun.
            if spent < Amount::ZERO {
                return;
            }

            let rate = spent
                .share(HOUR_MS, now.at_ms - before.at_ms)
                .unwrap_or_default();
            rates
                .entry(*currency)
                .or_default()
                .insert(part.clone(), rate);
        }

        for (currency, parts) in rates {
            let key = (region.to_owned(), currency);
            if !self.watches.contains_key(&key) {
                let scope = [("region".to_owned(), region.to_owned())].into();
                let Ok(watch) = LiveAnomalies::new(scope, currency) else {
                    return;
                };
                self.watches.insert(key.clone(), watch);
            }

            let Some(watch) = self.watches.get_mut(&key) else {
                return;
            };
            let at_s = i64::try_from(now.at_ms / 1_000).unwrap_or(i64::MAX);

            if let Some(LiveChange::Closed(anomaly)) = watch.observe(at_s, &parts) {
                self.closed.push(anomaly);
                let surplus = self.closed.len().saturating_sub(CLOSED_MAX);
                self.closed.drain(..surplus);
            }
        }
    }

    /// The anomalies of the live plane, open or recently ended, and those of bills.
    pub(super) fn anomalies(&self, billed: &[Anomaly]) -> Vec<Anomaly> {
        let open = self.watches.values().filter_map(LiveAnomalies::current);
        open.chain(self.closed.iter().cloned())
            .chain(billed.iter().cloned())
            .collect()
    }
}

/// What a region has cost this month, by what it is for.
fn parts(region: &LiveRegion) -> BTreeMap<(Currency, String), Amount> {
    let month = &region.month;
    let named: [(&str, &Totals); 3] = [
        ("nodes", &month.capacity),
        ("requests", &month.requests),
        ("egress", &month.egress),
    ];
    let mut parts = BTreeMap::new();

    for (name, totals) in named {
        for (currency, amount) in &totals.0 {
            parts.insert((*currency, name.to_owned()), *amount);
        }
    }

    parts
}

fn write(path: &Path, stored: &Stored) -> Result<(), String> {
    let bytes = codec::encode_document(stored).map_err(|error| error.to_string())?;
    replace_file(path, &bytes).map_err(|error| error.to_string())
}
