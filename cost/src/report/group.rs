//! What rows of a report are kept apart by, and which charges count.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr};

/// What rows are kept apart by. Its text is what the command line and the API take: `region`,
/// `tag:team`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub enum Group {
    /// The day, UTC: `2026-09-18`.
    Day,
    /// The week, by its Monday: `2026-09-14`.
    Week,
    /// The calendar month of the day: `2026-09`.
    Month,
    /// The provider, as the bill names it.
    Provider,
    /// The account, subscription or project.
    Account,
    /// The region, as the mesh names it.
    Region,
    /// The zone, as the bill names it.
    Zone,
    Service,
    /// The kind of service.
    Category,
    /// How it is priced: `on-demand`, `spot`, `committed`, `unused`, `other`.
    Pricing,
    /// What it is for: `usage`, `purchase`, `tax`, `credit`, `adjustment`.
    Charge,
    /// The model, by the tag that names it.
    Model,
    /// The value of a tag, which must have been chosen at the import.
    Tag(String),
}

/// An invalid group or filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Not one of the groups.
    #[error(
        "{0:?} is not a group; use day, week, month, provider, account, region, zone, service, \
         category, pricing, \
         charge, model or tag:KEY"
    )]
    Unknown(String),
    /// No equals sign.
    #[error("{0:?} is not a filter; write it as GROUP=VALUE, for example region=eu-west-1")]
    Filter(String),
}

impl Group {
    /// Those with a name of their own: all but tags.
    pub const NAMED: [(&str, Self); 12] = [
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("provider", Self::Provider),
        ("account", Self::Account),
        ("region", Self::Region),
        ("zone", Self::Zone),
        ("service", Self::Service),
        ("category", Self::Category),
        ("pricing", Self::Pricing),
        ("charge", Self::Charge),
        ("model", Self::Model),
    ];

    /// Whether it is a day or a span of days.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Day | Self::Week | Self::Month)
    }
}

impl FromStr for Group {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        if let Some(key) = text.strip_prefix("tag:").filter(|key| !key.is_empty()) {
            return Ok(Self::Tag(key.to_owned()));
        }

        let known = Self::NAMED.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, group)| group.clone())
            .ok_or_else(|| GroupError::Unknown(shortened(text)))
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(key) => write!(f, "tag:{key}"),
            group => f.pad(
                Self::NAMED
                    .iter()
                    .find(|(_, known)| known == group)
                    .map_or("", |(name, _)| name),
            ),
        }
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Charges with this value count. Its text: `region=eu-west-1`; nothing after the equals sign means
/// charges without a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    /// Which of its values is compared.
    pub group: Group,
    /// The value, as a report by that group shows it.
    pub value: String,
}

impl FromStr for Filter {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        let (group, value) = text
            .split_once('=')
            .ok_or_else(|| GroupError::Filter(shortened(text)))?;
        Ok(Self {
            group: group.parse()?,
            value: value.to_owned(),
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.group, self.value)
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
