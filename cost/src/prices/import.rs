//! Reads price files. A bad price is reported and the others are kept.

use super::{
    Destination, PRICE_LIMIT, Price, PriceItem, Tier, Unit, placeholder,
    records::{self, Record},
};
use crate::{
    cells::PricingClass,
    date::parse_date,
    money::{Amount, AmountError, Currency},
    regions::CloudRegion,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// Largest price file, bytes.
const FILE_LIMIT: usize = 8 << 20;
/// Most records of a price file.
pub(super) const RECORDS_LIMIT: usize = 100_000;
/// Most rejected prices that are quoted; the others are counted.
const QUOTED_LIMIT: usize = 100;
/// Most characters of a value that are quoted.
const VALUE_LIMIT: usize = 80;

/// What holds for prices that don't say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceDefaults {
    /// The day from which a price holds; without it each price, or its file, has to say.
    pub valid_from: Option<Date>,
    /// The currency; US dollars where none is given here.
    pub currency: Option<Currency>,
    /// When the import happens, Unix milliseconds.
    pub imported_ms: u64,
}

/// What a price file has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceFile {
    /// The good prices, by what they are of and day.
    pub prices: Vec<Price>,
    /// The first 100 records that are no good prices.
    pub rejected: Vec<RejectedPrice>,
    /// How many records are no good prices.
    pub rejected_count: u64,
    /// Fields that mean nothing here: misspelt ones are among them.
    pub ignored_fields: BTreeSet<String>,
}

/// A record of a price file that was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("line {line}{}: {reason}{}", field.as_ref().map(|field| format!(", {field}")).unwrap_or_default(), quoted(value))]
pub struct RejectedPrice {
    /// The line, from 1.
    pub line: u64,
    /// The field that is to blame, where one is.
    pub field: Option<String>,
    /// What it says, at most 80 characters, control characters escaped.
    pub value: String,
    /// Why it was not used and what to do.
    pub reason: RejectReason,
}

impl RejectedPrice {
    pub(super) fn new(line: u64, field: Option<&str>, value: &str, reason: RejectReason) -> Self {
        let value = value
            .chars()
            .take(VALUE_LIMIT)
            .flat_map(char::escape_debug)
            .collect();

        Self {
            line,
            field: field.map(str::to_owned),
            value,
            reason,
        }
    }
}

/// Rejected records: the first of them, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    quoted: Vec<RejectedPrice>,
    count: u64,
}

impl Rejections {
    pub(super) fn push(&mut self, rejected: RejectedPrice) {
        self.count += 1;
        if self.quoted.len() < QUOTED_LIMIT {
            self.quoted.push(rejected);
        }
    }
}

fn quoted(value: &str) -> String {
    if value.is_empty() {
        String::new()
    } else {
        format!(" (\"{value}\")")
    }
}

/// Why a price was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// A field that this kind of price needs is missing or empty.
    #[error("missing or empty")]
    Missing,
    /// The row has more or fewer fields than the header.
    #[error("has {found} fields where the header has {expected}")]
    Fields {
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// Too long, not UTF-8 or with control characters.
    #[error("must be UTF-8 text of at most 256 bytes without control characters")]
    Text,
    /// Not one of the words that the field may have.
    #[error("must be one of {0}")]
    Choice(String),
    /// Not a number, `TBD` for example.
    #[error("not a price: a decimal number is expected, such as 0.526")]
    NotANumber,
    /// Larger than any price per unit.
    #[error("larger than a thousand million per unit")]
    TooLarge,
    /// Below zero.
    #[error("a price can't be negative; enter a discount as a lower price")]
    Negative,
    /// Zero, and the file doesn't say that it is meant.
    #[error("zero is taken for a placeholder; set free = true if it costs nothing")]
    Zero,
    /// `free = true` beside a price.
    #[error("free = true contradicts a price above zero; remove one of them")]
    NotFree,
    /// Exactly 1.
    #[error("exactly 1 is taken for a placeholder; set verified = true if it is the price")]
    One,
    /// All nines.
    #[error(
        "a price of nines alone is taken for a placeholder; set verified = true if it is the price"
    )]
    Nines,
    /// An accelerator for almost nothing.
    #[error(
        "less than 0.02 an hour for a node with a GPU is taken for a placeholder; set verified = \
            true if it is the price"
    )]
    GpuTooCheap,
    /// One price for all node types.
    #[error(
        "all {0} node types of this cloud and pricing class have this price: taken for a \
            placeholder; set verified = true if it is the price"
    )]
    SameForAll(usize),
    /// No day.
    #[error("no day: write it as 2026-09-06")]
    Day,
    /// No currency.
    #[error("no currency: three letters (ISO 4217) are expected")]
    Currency,
    /// No region of a cloud.
    #[error("no region of a cloud: write it as aws:us-west-2, aws:* for all regions of the cloud")]
    Place,
    /// No whole number of units.
    #[error(
        "no end of a tier: a whole number of units above zero is expected, counted from the start \
            of the month"
    )]
    TierEnd,
    /// The last tier has an end.
    #[error("its last tier ends at {0}: add one without up_to for what lies beyond")]
    OpenEnd(u64),
    /// Too many tiers.
    #[error("has more than 32 tiers")]
    Tiers,
    /// The tiers of a price differ in their unit or currency.
    #[error("its tiers differ in unit or currency from the one of line {0}")]
    TierMismatch(u64),
    /// One of its tiers can't be used.
    #[error(
        "its tier of line {0} was rejected: without it the others would be charged for the wrong \
            quantities"
    )]
    TierRejected(u64),
    /// The same price and day stands in the file already.
    #[error("has a price for this day in line {0} already")]
    Duplicate(u64),
}

/// Why a price file can't be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceFileError {
    /// Too many bytes or records.
    #[error(
        "{file}: more than 8 MiB or 100,000 prices; import only the regions and node types that \
            the mesh uses"
    )]
    TooLarge {
        /// The file.
        file: String,
    },
    /// Not TOML, or not a list of prices; not CSV.
    #[error("{file}: line {line}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// Columns are missing.
    #[error("{file}: the header has no column {missing}; it has: {found}")]
    Columns {
        /// The file.
        file: String,
        /// The missing ones.
        missing: String,
        /// Those that are there.
        found: String,
    },
}

/// Reads a price file: TOML where its name ends in `.toml`, else CSV. Fields: `kind` (`node`,
/// `egress`, `storage`, `requests`); `cloud` and `region` (`*` for all), for egress `from` and `to`
/// (`aws:us-west-2`, `gcp:*`, `same-region`, `internet`); `sku` (instance type, class of storage or
/// requests); `pricing` (`on-demand`, `spot`, `committed`); `gpu`; `amount`, `currency`, `unit`;
/// `valid_from`, `source`; `up_to` where a price has tiers, one record each; `free`, `verified`.
pub fn read_prices(
    file: &str,
    bytes: &[u8],
    defaults: &PriceDefaults,
) -> Result<PriceFile, PriceFileError> {
    if bytes.len() > FILE_LIMIT {
        return Err(PriceFileError::TooLarge { file: file.into() });
    }

    let is_toml = file.len() >= 5 && file.to_lowercase().ends_with(".toml");
    let found = if is_toml {
        records::read_toml(file, bytes)?
    } else {
        records::read_csv(file, bytes)?
    };

    let mut assembly = Assembly::default();
    for record in &found.records {
        assembly.add(record, file, defaults);
    }

    let (prices, more) = assembly.finish();
    let rejected_count = found.rejected.count + more.count;
    let mut rejected = [found.rejected.quoted, more.quoted].concat();

    rejected.sort_by_key(|rejected| rejected.line);
    rejected.truncate(QUOTED_LIMIT);
    Ok(PriceFile {
        prices,
        rejected,
        rejected_count,
        ignored_fields: found.ignored,
    })
}

/// One record, understood.
struct EntryRecord {
    line: u64,
    price: Price,
    tier: Tier,
    is_verified: bool,
}

/// The fields of a record, read one by one.
struct Fields<'a>(&'a Record);

impl<'a> Fields<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.fields.get(name).map(|(text, _)| text.as_str())
    }

    fn reject(&self, name: &str, reason: RejectReason) -> RejectedPrice {
        let (text, line) = self
            .0
            .fields
            .get(name)
            .map_or(("", self.0.line), |(text, line)| (text, *line));

        RejectedPrice::new(line, Some(name), text, reason)
    }

    fn required(&self, name: &str) -> Result<&'a str, RejectedPrice> {
        self.text(name)
            .ok_or_else(|| self.reject(name, RejectReason::Missing))
    }

    /// What the field says, or what stands for an absent one.
    fn choice<T: Copy>(
        &self,
        name: &str,
        absent: T,
        choices: &[(&str, T)],
    ) -> Result<T, RejectedPrice> {
        let Some(text) = self.text(name) else {
            return Ok(absent);
        };
        let found = choices
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, value)| *value);
        let words = || {
            choices
                .iter()
                .map(|(word, _)| *word)
                .collect::<Vec<_>>()
                .join(", ")
        };

        found.ok_or_else(|| self.reject(name, RejectReason::Choice(words())))
    }

    fn flag(&self, name: &str) -> Result<bool, RejectedPrice> {
        self.choice(name, false, &[("true", true), ("false", false)])
    }

    fn place(&self, name: &str) -> Result<CloudRegion, RejectedPrice> {
        self.required(name)?
            .parse()
            .map_err(|_| self.reject(name, RejectReason::Place))
    }

    fn amount(&self, gpu: Option<&str>, is_verified: bool) -> Result<Amount, RejectedPrice> {
        let is_free = self.flag("free")?;
        let text = self.required("amount")?;
        let (amount, _) = Amount::parse(text.as_bytes()).map_err(|error| {
            let reason = match error {
                AmountError::Syntax => RejectReason::NotANumber,
                AmountError::TooLarge => RejectReason::TooLarge,
            };
            self.reject("amount", reason)
        })?;

        if amount > PRICE_LIMIT {
            return Err(self.reject("amount", RejectReason::TooLarge));
        }
        placeholder::check(amount, gpu, is_free, is_verified)
            .map_err(|reason| self.reject("amount", reason))?;
        Ok(amount)
    }

    fn item(&self) -> Result<(PriceItem, Unit), RejectedPrice> {
        #[derive(Clone, Copy)]
        enum Kind {
            Node,
            Egress,
            Storage,
            Requests,
        }

        self.required("kind")?;
        let kinds = [
            ("node", Kind::Node),
            ("egress", Kind::Egress),
            ("storage", Kind::Storage),
            ("requests", Kind::Requests),
        ];
        let kind = self.choice("kind", Kind::Node, &kinds)?;

        if matches!(kind, Kind::Egress) {
            let from = self.place("from")?;
            let to = match self.required("to")?.to_lowercase().as_str() {
                "internet" => Destination::Internet,
                "same-region" => Destination::SameRegion,
                _ => Destination::Region(self.place("to")?),
            };

            return Ok((PriceItem::Egress { from, to }, Unit::Gib));
        }

        let at = CloudRegion::new(self.required("cloud")?, self.required("region")?);
        let sku = self.required("sku")?;
        let classes = [
            PricingClass::OnDemand,
            PricingClass::Spot,
            PricingClass::Committed,
        ];

        Ok(match kind {
            Kind::Node | Kind::Egress => {
                let classes = classes.map(|class| (super::pricing_name(class), class));
                let pricing = self.choice("pricing", PricingClass::OnDemand, &classes)?;
                (PriceItem::node(&at, sku, pricing), Unit::Hour)
            }
            Kind::Storage => (PriceItem::storage(&at, sku), Unit::GibMonth),
            Kind::Requests => (PriceItem::requests(&at, sku), Unit::ThousandRequests),
        })
    }
}

fn entry(
    fields: &Fields<'_>,
    (item, usual_unit): (PriceItem, Unit),
    file: &str,
    defaults: &PriceDefaults,
) -> Result<EntryRecord, RejectedPrice> {
    let units: Vec<(&str, Unit)> = Unit::NAMES
        .iter()
        .filter(|(unit, _)| unit.fits(&item))
        .map(|(unit, name)| (*name, *unit))
        .collect();
    let unit = fields.choice("unit", usual_unit, &units)?;
    let currency = match fields.text("currency") {
        Some(text) => text
            .parse()
            .map_err(|_| fields.reject("currency", RejectReason::Currency))?,
        None => defaults.currency.unwrap_or(Currency::USD),
    };

    let valid_from = match (fields.text("valid_from"), defaults.valid_from) {
        (Some(text), _) => {
            parse_date(text).ok_or_else(|| fields.reject("valid_from", RejectReason::Day))?
        }
        (None, Some(day)) => day,
        (None, None) => return Err(fields.reject("valid_from", RejectReason::Missing)),
    };

    let up_to = match fields.text("up_to") {
        Some(text) => {
            let units = text.parse().ok().filter(|units: &u64| *units > 0);
            Some(units.ok_or_else(|| fields.reject("up_to", RejectReason::TierEnd))?)
        }
        None => None,
    };
    let gpu = fields.text("gpu").map(str::to_owned);
    let is_verified = fields.flag("verified")?;
    let amount = fields.amount(gpu.as_deref(), is_verified)?;
    let source = fields.text("source").unwrap_or(file).to_owned();
    let imported_ms = defaults.imported_ms;

    let price = Price {
        item,
        valid_from,
        currency,
        unit,
        tiers: Vec::new(),
        gpu,
        source,
        imported_ms,
    };

    Ok(EntryRecord {
        line: fields.0.line,
        price,
        tier: Tier { up_to, amount },
        is_verified,
    })
}

/// Puts the tiers of prices together.
#[derive(Default)]
struct Assembly {
    entries: BTreeMap<(PriceItem, Date), EntryTiers>,
    /// Of what a tier was rejected, and in which line.
    spoiled: BTreeMap<PriceItem, u64>,
    rejected: Rejections,
}

struct EntryTiers {
    first: EntryRecord,
    /// By their end, the one without an end last; each with its line.
    tiers: BTreeMap<u64, (Tier, u64)>,
}

impl Assembly {
    fn add(&mut self, record: &Record, file: &str, defaults: &PriceDefaults) {
        let fields = Fields(record);
        let item = match fields.item() {
            Ok(item) => item,
            Err(rejected) => return self.rejected.push(rejected),
        };

        match entry(&fields, item.clone(), file, defaults) {
            Ok(entry) => self.add_tier(entry),
            Err(rejected) => {
                if fields.text("up_to").is_some() {
                    self.spoiled.insert(item.0, record.line);
                }
                self.rejected.push(rejected);
            }
        }
    }

    fn add_tier(&mut self, entry: EntryRecord) {
        let key = (entry.price.item.clone(), entry.price.valid_from);
        let tier = entry.tier;
        let line = entry.line;
        let unit = entry.price.unit;
        let currency = entry.price.currency;
        let known = self.entries.entry(key).or_insert_with(|| EntryTiers {
            first: entry,
            tiers: BTreeMap::new(),
        });

        let end = tier.up_to.unwrap_or(u64::MAX);
        let reason = if (unit, currency) != (known.first.price.unit, known.first.price.currency) {
            RejectReason::TierMismatch(known.first.line)
        } else if let Some((_, line)) = known.tiers.get(&end) {
            RejectReason::Duplicate(*line)
        } else {
            known.tiers.insert(end, (tier, line));
            return;
        };

        if matches!(reason, RejectReason::TierMismatch(_)) {
            self.spoiled.insert(known.first.price.item.clone(), line);
        }
        self.rejected
            .push(RejectedPrice::new(line, None, "", reason));
    }

    fn finish(mut self) -> (Vec<Price>, Rejections) {
        let mut prices = Vec::new();
        let mut lines = Vec::new();
        let mut verified = BTreeSet::new();

        for EntryTiers { first, tiers } in self.entries.into_values() {
            let mut price = first.price;
            price.tiers = tiers.into_values().map(|(tier, _)| tier).collect();

            let spoiled = self
                .spoiled
                .get(&price.item)
                .map(|line| RejectReason::TierRejected(*line));
            let reason = spoiled.or(match price.tiers.last().and_then(|tier| tier.up_to) {
                Some(end) => Some(RejectReason::OpenEnd(end)),
                None => price.check().is_err().then_some(RejectReason::Tiers),
            });

            if let Some(reason) = reason {
                self.rejected
                    .push(RejectedPrice::new(first.line, None, "", reason));
                continue;
            }

            if first.is_verified {
                verified.insert(prices.len());
            }
            prices.push(price);
            lines.push(first.line);
        }

        let same = placeholder::same_for_all(&prices, &verified);
        for (place, types) in &same {
            let amount = prices[*place].first().amount.to_string();
            let reason = RejectReason::SameForAll(*types);
            self.rejected.push(RejectedPrice::new(
                lines[*place],
                Some("amount"),
                &amount,
                reason,
            ));
        }

        let same: BTreeSet<usize> = same.into_iter().map(|(place, _)| place).collect();
        let kept = prices
            .into_iter()
            .enumerate()
            .filter(|(place, _)| !same.contains(place));

        (kept.map(|(_, price)| price).collect(), self.rejected)
    }
}
