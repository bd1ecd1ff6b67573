//! Reads price files. A bad price is reported and the others are kept.

mod fields;

use super::{
    Price, PriceItem, Tier, Unit, placeholder,
    records::{self, PriceFileError, Record},
    rejection::{QUOTED_LIMIT, RejectReason, RejectedPrice, Rejections},
};
use crate::{date::parse_date, money::Currency};
use fields::Fields;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use strum::VariantArray;
use time::Date;

/// Largest price file, bytes.
const FILE_LIMIT: usize = 8 << 20;

/// Defaults for prices that don't specify a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceDefaults {
    /// The day from which a price is valid; without it each price, or its file, must specify one.
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
    /// The first 100 records that are not valid prices.
    pub rejected: Vec<RejectedPrice>,
    /// How many records are not valid prices.
    pub rejected_count: u64,
    /// Fields that mean nothing here: misspelt ones are among them.
    pub ignored_fields: BTreeSet<String>,
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

fn entry(
    fields: &Fields<'_>,
    (item, usual_unit): (PriceItem, Unit),
    file: &str,
    defaults: &PriceDefaults,
) -> Result<EntryRecord, RejectedPrice> {
    let units: Vec<(&str, Unit)> = Unit::VARIANTS
        .iter()
        .filter(|unit| unit.fits(&item))
        .map(|unit| (unit.into(), *unit))
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
    /// Items with a rejected tier, and its line.
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
