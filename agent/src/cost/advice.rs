//! Recommendations as they were made, kept until bills have shown what came of them.

use regionmesh_cost::{Currency, Recommendation, Recommendations};
use regionmesh_protocol::codec::DOCUMENT_LIMIT;
use serde::{Deserialize, Serialize};
use time::{Date, Duration};

/// How long a recommendation is kept, days: until the day it is verified, and some months to read of it.
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

/// A document that holds no recommendations.
#[derive(Debug, thiserror::Error)]
pub enum AdviceError {
    /// It is too large.
    #[error("{0} bytes, the limit is {DOCUMENT_LIMIT}")]
    TooLarge(usize),
    /// It is something else.
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

impl Advice {
    /// All that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Advised> {
        self.0.iter()
    }

    /// The same with what was found on a day; none where that is nothing new. What is recommended again and again counts from
    /// the first time.
    pub fn with(&self, found: &Recommendations, today: Date) -> Option<Self> {
        let oldest = today.checked_sub(Duration::days(KEPT_DAYS)).unwrap_or(today);
        let mut kept: Vec<Advised> = self.0.iter().filter(|made| made.on >= oldest).cloned().collect();
        let is_known = |made: &Recommendation| kept.iter().any(|known| known.recommendation.id == made.id);
        let new: Vec<_> = found.recommendations.iter().filter(|made| !is_known(made)).cloned().collect();
        if new.is_empty() {
            return None;
        }
        let currency = found.currency;
        kept.extend(new.into_iter().map(|recommendation| Advised { on: today, currency, recommendation }));
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
