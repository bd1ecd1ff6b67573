//! Earlier recommendations, retained until bills show their outcome.

use super::archive::{Archive, ArchiveError, Kind, Slot, sort};
use regionmesh_cost::{Currency, Recommendation, Recommendations};
use regionmesh_protocol::codec::DOCUMENT_LIMIT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::{Date, Duration};

/// Retention of a recommendation, days: until it is verified, and some months more.
const RETENTION_DAYS: i64 = 120;
/// Limit on recommendations; the oldest are dropped.
const RECOMMENDATIONS_MAX: usize = 256;

/// The recommendations, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice(Vec<Advised>);

/// A recommendation, and when it was first made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advised {
    /// The day, UTC.
    #[serde(with = "regionmesh_cost::iso_date")]
    pub on: Date,
    /// The currency of all its amounts.
    pub currency: Currency,
    /// The first version of the recommendation.
    pub recommendation: Recommendation,
}

/// Why recommendations can't be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum AdviceError {
    /// The bucket failed.
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
    /// All recommendations, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Advised> {
        self.0.iter()
    }

    /// Adds today's recommendations to those in the bucket. Fails if these can't be read: an
    /// unreadable document is never replaced.
    pub async fn record(
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

    /// A copy with today's recommendations added; none if there are no new ones. A repeated
    /// recommendation counts from the first time until it is verified; after that it is a new
    /// prediction.
    pub fn with(&self, found: &Recommendations, today: Date) -> Option<Self> {
        let oldest = today
            .checked_sub(Duration::days(RETENTION_DAYS))
            .unwrap_or(today);
        let mut retained: Vec<Advised> = self
            .0
            .iter()
            .filter(|made| made.on >= oldest)
            .cloned()
            .collect();

        let open: BTreeSet<String> = retained
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
        retained.extend(new.into_iter().map(|recommendation| Advised {
            on: today,
            currency,
            recommendation,
        }));

        let excess = retained.len().saturating_sub(RECOMMENDATIONS_MAX);
        retained.drain(..excess);
        Some(Self(retained))
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
mod tests;
