//! What is posted about money, and what came of it.

use serde::{Deserialize, Serialize};

/// `POST /v1/cost/prices`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricesBody {
    /// What errors call the table; a file's name tells TOML (`.toml`) from CSV.
    pub name: String,
    pub text: String,
    /// The day that prices without one hold from: `2026-09-01`.
    pub valid_from: Option<String>,
    /// The currency of prices that name none.
    pub currency: Option<String>,
    /// Replace prices of the same thing and day.
    #[serde(default)]
    pub replace: bool,
    /// Say what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct PricesDone {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Prices that are new.
    pub added: u64,
    /// Prices that were there.
    pub unchanged: u64,
    /// Prices that took the place of others.
    pub replaced: u64,
    /// What has another price from the same day on, which stays.
    pub refused: Vec<String>,
    /// The first records that are no prices, and why.
    pub rejected: Vec<String>,
    /// How many these are.
    pub rejected_count: u64,
    /// Fields of the table that mean nothing here; misspelt ones are among them.
    pub ignored: Vec<String>,
}
