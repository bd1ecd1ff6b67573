//! Recommendations as they were made, kept until bills have shown what came of them.

use super::archive::{Archive, ArchiveError, Kind, Slot, sort};
use regionmesh_cost::{Currency, Recommendation, Recommendations};
use regionmesh_protocol::codec::DOCUMENT_LIMIT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::{Date, Duration};

/// How long a recommendation is kept, days: until the day it is verified, and some months to read
/// of it.
const KEPT_DAYS: i64 = 120;
/// Most that are kept; the oldest go.
const KEPT_MAX: usize = 256;

/// The recommendations, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice(Vec<Advised>);

/// A recommendation, and when it was made first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advised {
    /// The day, UTC.
    #[serde(with = "regionmesh_cost::iso_date")]
    pub on: Date,
    /// Of all its amounts.
    pub currency: Currency,
    /// What it says.
    pub recommendation: Recommendation,
}

/// Why recommendations can't be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum AdviceError {
    /// The bucket fails.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The document is too large.
    #[error("{0} bytes, the limit is {DOCUMENT_LIMIT}")]
    TooLarge(usize),
    /// The document holds something else.
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

impl Advice {
    /// All that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Advised> {
        self.0.iter()
    }

    /// Adds what was found on a day to what the bucket holds. Fails where that can't be read: it is
    /// never replaced unread.
    pub async fn keep(
        archive: &Archive,
        by: &str,
        found: &Recommendations,
        today: Date,
    ) -> Result<(), AdviceError> {
        let slot = Slot::only(Kind::Advice);
        let catalogue = archive
            .store
            .catalogue()
            .await
            .map_err(ArchiveError::from)?;
        let held = match sort(&catalogue).0.get(&slot) {
            Some(held) => Self::decode(&archive.read(held).await?)?,
            None => Self::default(),
        };

        if let Some(advice) = held.with(found, today) {
            archive.put(&slot, by, Vec::new(), advice.encode()?).await?;
        }
        Ok(())
    }

    /// The same with what was found on a day; none where that is nothing new. What is recommended
    /// again and again counts from the first time, until the day that it is verified: from then on
    /// it is a new prediction.
    pub fn with(&self, found: &Recommendations, today: Date) -> Option<Self> {
        let oldest = today
            .checked_sub(Duration::days(KEPT_DAYS))
            .unwrap_or(today);
        let mut kept: Vec<Advised> = self
            .0
            .iter()
            .filter(|made| made.on >= oldest)
            .cloned()
            .collect();

        let open: BTreeSet<String> = kept
            .iter()
            .filter(|known| known.recommendation.verify_after > today)
            .map(|known| known.recommendation.id.clone())
            .collect();
        let is_known = |made: &Recommendation| open.contains(&made.id);
        let new: Vec<_> = found
            .recommendations
            .iter()
            .filter(|made| !is_known(made))
            .cloned()
            .collect();

        if new.is_empty() {
            return None;
        }

        let currency = found.currency;
        kept.extend(new.into_iter().map(|recommendation| Advised {
            on: today,
            currency,
            recommendation,
        }));

        let excess = kept.len().saturating_sub(KEPT_MAX);
        kept.drain(..excess);
        Some(Self(kept))
    }

    /// As a document.
    pub fn encode(&self) -> Result<Vec<u8>, AdviceError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, AdviceError> {
        if bytes.len() > DOCUMENT_LIMIT {
            return Err(AdviceError::TooLarge(bytes.len()));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{config::fixture, replication_adapters::publisher, snapshots::Snapshots};
    use regionmesh_cost::{Amount, Baseline, BaselineName, Saving};
    use regionmesh_replication::HybridClock;
    use regionmesh_store::{ModelStore, Settings};
    use std::{collections::BTreeMap, sync::Arc};
    use time::macros::date;

    fn found(id: &str) -> Recommendations {
        let made = serde_json::json!({
            "id": id, "kind": "idle", "title": "", "proposal": { "change": "delete", "copies": [] },
            "baseline": { "name": "current", "monthly_cost": "1" },
            "saving": { "expected": "1", "low": "1", "high": "1" },
            "evidence": { "window_days": 14, "rows": 1, "price_date": "2026-09-01" },
            "constraints": [], "risk": { "level": "low", "why": "" }, "reversibility": "", "command": "",
            "verify_after": "2026-10-07",
        });

        Recommendations {
            generated_at: String::new(),
            baseline: Baseline {
                name: BaselineName::Current,
                monthly_cost: Amount::ZERO,
            },
            currency: Currency::USD,
            total_saving: Saving::default(),
            proposal_cost: Amount::ZERO,
            recommendations: vec![serde_json::from_value(made).unwrap()],
            comparisons: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[tokio::test]
    async fn advice_is_added_to_what_the_bucket_holds_and_never_replaces_what_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}/store", dir.path().display());
        let store = Arc::new(ModelStore::new(
            regionmesh_store::open(&Settings {
                url,
                options: BTreeMap::new(),
            })
            .unwrap(),
        ));

        let mut config = fixture::config(&[("eu-west-1", "192.0.2.1")], "");
        config.data_dir = dir.path().into();

        let clock = HybridClock::default();
        let publisher = publisher(&config, &store, &clock, &Snapshots::default(), None).unwrap();

        let archive = Archive {
            store,
            publisher,
            clock,
            region: "eu-west-1".parse().unwrap(),
            staging: dir.path().join("cost"),
        };

        let held = async || {
            let catalogue = archive.store.catalogue().await.unwrap();
            let held = sort(&catalogue).0[&Slot::only(Kind::Advice)].clone();
            archive.read(&held).await.unwrap()
        };
        let today = date!(2026 - 09 - 20);

        Advice::keep(&archive, "n", &found("a"), today)
            .await
            .unwrap();
        Advice::keep(&archive, "n", &found("b"), today)
            .await
            .unwrap();

        let advice = Advice::decode(&held().await).unwrap();
        let ids: Vec<_> = advice
            .iter()
            .map(|made| made.recommendation.id.as_str())
            .collect();

        assert_eq!(ids, ["a", "b"]);

        archive
            .put(
                &Slot::only(Kind::Advice),
                "n",
                Vec::new(),
                b"of a later release".to_vec(),
            )
            .await
            .unwrap();

        assert!(matches!(
            Advice::keep(&archive, "n", &found("c"), today).await,
            Err(AdviceError::Malformed(_))
        ));

        assert_eq!(&*held().await, b"of a later release");
    }
}
