//! What is posted about money, and what came of it.

use super::rules::optional_day;
use regionmesh_protocol::{models::manifest::TEXT_MAX, schema::printable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest price table, characters: even with every character escaped, its JSON fits a body.
pub const PRICE_TABLE_MAX: usize = 170_000;

/// Prices to add. Each is valid from its day on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PricesBody {
    /// What errors call the table; one that ends in `.toml` holds TOML, any other CSV.
    #[schemars(length(max = TEXT_MAX), pattern(printable("*")))]
    pub name: String,
    /// The table.
    #[schemars(length(max = PRICE_TABLE_MAX), pattern(r"^[^\u0000]*$"))]
    pub text: String,
    /// The first day of prices without one, UTC: `2026-09-01`.
    #[schemars(schema_with = "optional_day")]
    #[serde(default)]
    pub valid_from: Option<String>,
    /// The currency of prices that name none.
    #[schemars(length(min = 2, max = 8), pattern("^[A-Za-z0-9]{2,8}$"))]
    pub currency: Option<String>,
    /// Replace prices of the same thing and day.
    #[serde(default)]
    pub replace: bool,
    /// Report what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The result of adding prices.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PricesDone {
    /// Whether it was a dry run: nothing was changed.
    pub dry_run: bool,
    /// Prices that are new.
    pub added: u64,
    /// Prices that were known already.
    pub unchanged: u64,
    /// Prices that replaced others.
    pub replaced: u64,
    /// Items that have another price from the same day on, which was kept.
    pub refused: Vec<String>,
    /// The first records that were rejected, and why.
    pub rejected: Vec<String>,
    /// How many records were rejected.
    pub rejected_count: u64,
    /// Fields of the table that are not used; misspelt ones are among them.
    pub ignored: Vec<String>,
}
