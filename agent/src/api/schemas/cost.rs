//! Objects about money. Amounts are decimal texts; totals are amounts by currency.

use super::object::{Field, Object};

const START: Field = ("start", "string", "First day, UTC");
const END: Field = ("end", "string", "Last day, included");
const BY: Field = ("by", "[string]", "What rows are kept apart by");
const METRIC: Field = ("metric", "string", "effective, billed or list");
const CURRENCY: Field = (
    "currency",
    "string",
    "ISO 4217; XXX where the bill names none",
);
const VALUES: Field = (
    "values",
    "[string]",
    "A value for each of `by`; empty where the bill has none",
);
const TOTALS: Field = ("totals", "{string}", "Sum by currency");
const WARNINGS: Field = (
    "warnings",
    "[CostWarning]",
    "What to know before relying on the amounts",
);

pub(crate) const OBJECTS: &[Object] = &[
    (
        "CostReport",
        "What was spent within some days",
        &[
            START,
            END,
            BY,
            METRIC,
            ("rows", "[CostRow]", "By currency, then by time or amount"),
            TOTALS,
            (
                "rows_summed",
                "integer",
                "Rows of the bills that were summed",
            ),
            WARNINGS,
        ],
    ),
    (
        "CostRow",
        "One group and currency",
        &[
            VALUES,
            CURRENCY,
            ("amount", "string", "The sum"),
            (
                "share",
                "number?",
                "Part of the currency's total; null where that is zero",
            ),
            ("rows", "integer", "Rows of the bills"),
        ],
    ),
    (
        "CostWarning",
        "Something that may make an answer differ from what its reader expects",
        &[
            ("kind", "string", "A word for programs"),
            ("message", "string", "The same for people"),
        ],
    ),
    (
        "CostTrends",
        "Weeks or months side by side",
        &[
            ("interval", "string", "week or month"),
            BY,
            METRIC,
            (
                "periods",
                "[object]",
                "start, end, and whether the period is partial",
            ),
            (
                "series",
                "[object]",
                "By group: an amount for each period, and its change",
            ),
            (
                "totals",
                "[object]",
                "The same over all groups, by currency",
            ),
            (
                "to_date",
                "object?",
                "The days of the newest period so far, and as many of the one before",
            ),
            ("movers", "[object]", "The groups that changed most, first"),
            WARNINGS,
        ],
    ),
    (
        "CostModels",
        "What each model costs; models, idle and unallocated sum to the region exactly",
        &[
            START,
            END,
            (
                "models",
                "[object]",
                "Over all regions: cost, requests, busy time, cost per 1,000 requests",
            ),
            ("by_region", "[object]", "The same by region"),
            (
                "regions",
                "[object]",
                "Every region: models, idle, unallocated, total",
            ),
            TOTALS,
            WARNINGS,
        ],
    ),
    (
        "CostEgress",
        "What bytes cost that left a region",
        &[
            START,
            END,
            ("lines", "[CostEgressLine]", "By sender, receiver and cause"),
            TOTALS,
            ("missing", "[string]", "Prices that are missing"),
        ],
    ),
    (
        "CostEgressLine",
        "Bytes of one pair of regions and cause",
        &[
            ("from", "string", "The region that sent them"),
            (
                "to",
                "string?",
                "The region that received them; null: users",
            ),
            (
                "cause",
                "string",
                "replication:MODEL, answers (away from their users' home) or other",
            ),
            ("bytes", "integer", "How many"),
            (
                "unpriced_bytes",
                "integer",
                "Those of them that have no price",
            ),
            ("cost", "{string}", "What the others cost, by currency"),
        ],
    ),
    (
        "CostForecast",
        "What groups are heading for",
        &[
            BY,
            ("forecasts", "[CostExpected]", "Each group"),
            ("warnings", "[string]", "What to know"),
        ],
    ),
    (
        "CostExpected",
        "What one group is heading for",
        &[
            VALUES,
            (
                "month_end",
                "object?",
                "The month's total with its range, and the run rate",
            ),
            (
                "forecast",
                "object?",
                "The days to come, each with its range",
            ),
            ("problem", "string?", "Why there is none"),
        ],
    ),
    (
        "CostAnomalies",
        "Spending that is not as usual",
        &[("anomalies", "[object]", "Open ones first")],
    ),
    (
        "CostBudgets",
        "How far budgets are used up",
        &[("budgets", "[CostBudget]", "As configured")],
    ),
    (
        "CostBudget",
        "A budget and its use so far",
        &[
            ("name", "string", "Its name"),
            (
                "scope",
                "string",
                "mesh, region NAME, model NAME or tag KEY=VALUE",
            ),
            METRIC,
            ("amount", "string", "What may be spent in a period"),
            CURRENCY,
            START,
            END,
            ("spent", "string", "Spent so far"),
            ("ratio", "number", "The same as part of the amount"),
            (
                "forecast",
                "string?",
                "Expected by the end of the period; null where nothing can be expected yet",
            ),
            (
                "forecast_ratio",
                "number?",
                "The same as part of the amount",
            ),
            ("crossed", "[CostCrossing]", "Thresholds that are reached"),
            ("problem", "string?", "What the figures leave out"),
        ],
    ),
    (
        "CostCrossing",
        "A threshold that is reached",
        &[
            ("kind", "string", "actual or forecast"),
            ("threshold", "integer", "Percent of the amount"),
        ],
    ),
    (
        "CostSources",
        "Whose bills are there, and what runs",
        &[
            ("sources", "{CostSource}", "By source"),
            (
                "live",
                "[object]",
                "Every region's live cost: per hour, today, this month, by model",
            ),
            (
                "reconciliation",
                "[object]",
                "Live against billed cost, over the days that both know",
            ),
        ],
    ),
    (
        "CostSource",
        "What is held of one source",
        &[
            ("periods", "[string]", "Its billing months"),
            ("rows", "integer", "Rows of its bills"),
            ("cells", "integer", "Day cells that sum them up"),
            ("first_day", "string?", "The day of the first charge"),
            ("last_day", "string?", "The day of the last charge"),
            (
                "complete_day",
                "string?",
                "The last day that late charges no longer change",
            ),
            ("imported_ms", "time", "The latest import"),
        ],
    ),
    (
        "CostPrices",
        "The prices of a day",
        &[
            ("day", "string", "The day, UTC"),
            (
                "prices",
                "[CostPrice]",
                "Imported ones before built-in ones",
            ),
        ],
    ),
    (
        "CostPrice",
        "A price",
        &[
            ("item", "string", "Of what"),
            ("amount", "string", "The price of the first unit of a month"),
            CURRENCY,
            ("unit", "string", "What it is paid for"),
            ("valid_from", "string", "The first day on which it holds"),
            ("source", "string", "Where it is from"),
        ],
    ),
    (
        "CostRecommendations",
        "What would cost less, in the order in which it is to be done",
        &[
            ("generated_at", "string", "When, RFC 3339"),
            (
                "baseline",
                "object",
                "What savings are compared with, and its monthly cost",
            ),
            CURRENCY,
            ("total_saving", "object", "A month: expected, low, high"),
            ("proposal_cost", "string", "A month, once all are applied"),
            (
                "recommendations",
                "[object]",
                "Each with its saving, evidence, risk, command and the day to verify it",
            ),
            (
                "comparisons",
                "[object]",
                "The proposal compared with every baseline",
            ),
            (
                "notes",
                "[string]",
                "Limits that are broken today, and assumptions",
            ),
            (
                "verifications",
                "[object]",
                "Earlier recommendations that the bill can confirm or refute by now, and what it \
                    shows",
            ),
        ],
    ),
    (
        "CostImport",
        "What an import did, or would do",
        &[
            ("dry_run", "boolean", "Whether nothing was kept"),
            (
                "report",
                "object",
                "Files, rows, bad rows with their places, warnings, totals",
            ),
            (
                "parts",
                "[object]",
                "Every source and month, and what it took the place of",
            ),
        ],
    ),
    (
        "CostPricesBody",
        "Prices to add",
        &[
            (
                "name",
                "text",
                "What errors call the table; a name that ends in .toml tells TOML from CSV",
            ),
            ("text", "table", "The table"),
            (
                "valid_from",
                "day?~",
                "The day that prices without one hold from",
            ),
            (
                "currency",
                "currency?~",
                "The currency of prices that name none",
            ),
            (
                "replace",
                "boolean~",
                "Replace prices of the same thing and day",
            ),
            (
                "dry_run",
                "boolean~",
                "Say what would change, and change nothing",
            ),
        ],
    ),
    (
        "CostPricesDone",
        "What came of it",
        &[
            ("dry_run", "boolean", "Whether nothing was changed"),
            ("added", "integer", "Prices that are new"),
            ("unchanged", "integer", "Prices that were there"),
            (
                "replaced",
                "integer",
                "Prices that took the place of others",
            ),
            (
                "refused",
                "[string]",
                "What has another price from the same day on, which stays",
            ),
            (
                "rejected",
                "[string]",
                "The first records that are no prices, and why",
            ),
            ("rejected_count", "integer", "How many these are"),
            (
                "ignored",
                "[string]",
                "Fields of the table that mean nothing here",
            ),
        ],
    ),
];
