//! What the leader writes to the bucket, and removes from it, once a day.

use super::CostState;
use crate::{
    config::Config,
    cost::{
        advice::Advice,
        answers::{Sources, recommendations},
        archive::{Kind, Slot, sort},
        observe,
        questions::RecommendationOptions,
    },
};
use regionmesh_cost::{Period, date_at, end_of_day_ms};
use std::sync::Arc;
use time::Date;

/// How long superseded documents stay for readers of an older catalogue, milliseconds.
const SUPERSEDED_RETENTION_MS: u64 = 10 * 60_000;

impl CostState {
    /// Writes the usage to the bucket once a day, for agents that start without saved state.
    pub(super) fn save_usage(&mut self, now_ms: u64) {
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

        let Ok(document) = self.saved.live.encode() else {
            return;
        };
        let archive = self.arguments.archive.clone();
        let id = self.arguments.id.to_string();

        self.tasks.spawn(async move {
            let about = vec![("period".to_owned(), Period::of(yesterday).to_string())];
            if let Err(error) = archive.put(&slot, &id, about, document).await {
                tracing::warn!(
                    %error,
                    "yesterday's usage can't be written to the bucket; it stays in the data \
                        directory"
                );
            }
        });
    }

    /// Writes the recommendations to the bucket once a day, to compare them with bills later.
    pub(super) fn save_advice(&mut self, config: &Arc<Config>, now_ms: u64) {
        let Some(today) = date_at(now_ms).filter(|today| self.advised_on != Some(*today)) else {
            return;
        };

        // The nodes of a region without a live agent are not known yet; retried at the next save.
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
            let found = tokio::task::spawn_blocking(move || {
                recommendations(&RecommendationOptions::default(), &sources)
            })
            .await;

            // If nothing can be recommended, `regionmesh optimizer` prints the reason.
            let Ok(Ok(found)) = found else { return };
            if let Err(error) = Advice::record(&archive, &id, &found, today).await {
                tracing::warn!(
                    %error,
                    "today's recommendations can't be written to the bucket; no bill will be \
                        compared with them"
                );
            }
        });
    }

    /// Removes replaced documents, and bills past their retention.
    pub(super) fn remove_superseded(&mut self, config: &Config, now_ms: u64) {
        let catalogue = self.arguments.snapshots.catalogue.borrow().clone();
        let (newest, superseded) = sort(&catalogue);
        let Some(today) = date_at(now_ms) else { return };
        let is_old = |slot: &Slot| {
            slot.period()
                .is_some_and(|period| !config.cost.retains(period, today))
        };
        let gone = superseded
            .into_iter()
            .filter(|held| {
                held.published
                    .wall_ms
                    .saturating_add(SUPERSEDED_RETENTION_MS)
                    < now_ms
            })
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
                    tracing::warn!(
                        version = %held.version,
                        %error,
                        "a replaced cost document can't be removed"
                    );
                    return;
                }
            }
        });
    }
}
