//! The record sets of a zone, and the rules by which they change. Pure.
//!
//! Route 53 API reference, ChangeResourceRecordSets and ResourceRecordSet; DNS constraints from RFC
//! 1034 §3.6.2.

use super::xml::Element;
use std::{collections::BTreeSet, net::IpAddr};

/// Most resource records in one batch; those of an UPSERT count twice.
const RECORDS_MAX: usize = 1_000;
/// Most characters of values in one batch; those of an UPSERT count twice.
const CHARACTERS_MAX: usize = 32_000;

/// A record set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Lower case, with a dot at the end.
    pub name: String,
    /// `A`, `TXT`, ...
    pub record_type: String,
    /// Time to live, seconds.
    pub ttl: Option<u64>,
    /// Values; their order means nothing.
    pub values: BTreeSet<String>,
    /// How it is chosen.
    pub policy: Policy,
    /// The set identifier.
    pub id: Option<String>,
    pub check: Option<String>,
}

/// A routing policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// The only set of its name and type.
    Simple,
    /// By weight.
    Weighted(u8),
    /// Primary or secondary.
    Failover(bool),
    /// By nearness to an AWS region.
    Latency(String),
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) action: String,
    pub(super) set: Set,
}

/// Why it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    InvalidInput(String),
    InvalidChangeBatch(Vec<String>),
    NoSuchHealthCheck(String),
}

impl Set {
    /// A simple record set.
    pub fn simple(name: &str, record_type: &str, values: &[&str]) -> Self {
        Self {
            name: name.into(),
            record_type: record_type.into(),
            ttl: Some(60),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            policy: Policy::Simple,
            id: None,
            check: None,
        }
    }

    /// A weighted record set.
    pub fn weighted(name: &str, record_type: &str, values: &[&str], id: &str, weight: u8) -> Self {
        let simple = Self::simple(name, record_type, values);
        Self {
            policy: Policy::Weighted(weight),
            id: Some(id.into()),
            ..simple
        }
    }

    fn key(&self) -> (&str, &str, Option<&str>) {
        (&self.name, &self.record_type, self.id.as_deref())
    }

    /// As refusals name it.
    fn title(&self) -> String {
        let id = self
            .id
            .as_ref()
            .map(|id| format!(", set-identifier='{id}'"))
            .unwrap_or_default();

        format!("[name='{}', type='{}'{id}]", self.name, self.record_type)
    }

    /// The place in a listing: labels from the root on, then type, then identifier.
    pub(super) fn order(&self) -> (Vec<String>, String, Option<String>) {
        (
            labels(&self.name),
            self.record_type.clone(),
            self.id.clone(),
        )
    }

    pub(super) fn read(element: &Element) -> Result<Self, Refused> {
        let text = |name: &str| element.text_of(name);
        let name = text("Name")
            .ok_or_else(|| input("Name is missing"))?
            .to_ascii_lowercase();
        let id = text("SetIdentifier");

        if id
            .as_ref()
            .is_some_and(|id| id.is_empty() || id.len() > 128)
        {
            return Err(input("SetIdentifier must have 1 to 128 characters"));
        }

        let policy = Self::read_policy(element, id.as_ref())?;

        let ttl = text("TTL")
            .map(|ttl| ttl.parse().map_err(|_| input("TTL must be a number")))
            .transpose()?;
        let listed: Vec<String> = element
            .all("ResourceRecords")
            .filter_map(|record| record.text_of("Value"))
            .collect();
        let values: BTreeSet<_> = listed.iter().cloned().collect();

        if values.len() < listed.len() {
            return Err(Refused::InvalidChangeBatch(vec![
                "Duplicate Resource Record".into(),
            ]));
        }

        if values.is_empty() || ttl.is_none() {
            return Err(input(
                "a record set that is no alias needs TTL and ResourceRecords",
            ));
        }

        Ok(Self {
            name: format!("{}.", name.trim_end_matches('.')),
            record_type: text("Type").ok_or_else(|| input("Type is missing"))?,
            ttl,
            values,
            policy,
            id,
            check: text("HealthCheckId"),
        })
    }

    fn read_policy(element: &Element, id: Option<&String>) -> Result<Policy, Refused> {
        let text = |name: &str| element.text_of(name);
        let weight = text("Weight").map(|weight| {
            let weight = weight
                .parse::<i64>()
                .ok()
                .and_then(|weight| u8::try_from(weight).ok());
            weight.ok_or_else(|| input("Weight must be within 0 to 255"))
        });

        let failover = text("Failover").map(|role| match role.as_str() {
            "PRIMARY" => Ok(true),
            "SECONDARY" => Ok(false),
            _ => Err(input("Failover must be PRIMARY or SECONDARY")),
        });
        let policy = match (weight.transpose()?, failover.transpose()?, text("Region")) {
            (None, None, None) => Policy::Simple,
            (Some(weight), None, None) => Policy::Weighted(weight),
            (None, Some(is_primary), None) => Policy::Failover(is_primary),
            (None, None, Some(region)) => Policy::Latency(region),
            _ => return Err(input("a record set has one routing policy")),
        };

        match (&policy, id) {
            (Policy::Simple, Some(_)) => return Err(input("SetIdentifier needs a routing policy")),
            (Policy::Simple, None) | (_, Some(_)) => {}
            (_, None) => return Err(input("a routing policy needs a SetIdentifier")),
        }

        Ok(policy)
    }

    pub(super) fn element(&self) -> Element {
        let element = Element::new("ResourceRecordSet")
            .field("Name", &self.name)
            .field("Type", &self.record_type)
            .maybe("SetIdentifier", self.id.as_ref());
        let element = match &self.policy {
            Policy::Simple => element,
            Policy::Weighted(weight) => element.field("Weight", weight),
            Policy::Failover(true) => element.field("Failover", "PRIMARY"),
            Policy::Failover(false) => element.field("Failover", "SECONDARY"),
            Policy::Latency(region) => element.field("Region", region),
        };

        let values = self
            .values
            .iter()
            .map(|value| Element::new("ResourceRecord").field("Value", value));

        element
            .maybe("TTL", self.ttl)
            .list("ResourceRecords", values)
            .maybe("HealthCheckId", self.check.as_ref())
    }
}

/// The labels of a name from the root on.
pub(super) fn labels(name: &str) -> Vec<String> {
    name.trim_end_matches('.')
        .split('.')
        .rev()
        .map(str::to_owned)
        .collect()
}

fn input(text: &str) -> Refused {
    Refused::InvalidInput(text.to_owned())
}

/// Makes all changes, or none.
pub(super) fn apply(
    zone: &str,
    sets: &[Set],
    changes: &[Change],
    has_check: impl Fn(&str) -> bool,
) -> Result<Vec<Set>, Refused> {
    if changes.is_empty() {
        return Err(Refused::InvalidInput(
            "a change batch holds at least one change".into(),
        ));
    }

    check_batch(changes, has_check)?;

    // One after the other, each against what the ones before left.
    let mut next = sets.to_vec();
    let mut faults = Vec::new();
    let mut deleted = BTreeSet::new();

    for Change { action, set } in changes {
        let found = next.iter().position(|other| other.key() == set.key());
        let fault = match action.as_str() {
            "DELETE" if !deleted.insert(set.title()) => Some(format!(
                "The request contains an invalid set of changes for a resource record set '{} {}'",
                set.record_type, set.name
            )),
            "DELETE" => delete(zone, &mut next, found, set),
            "CREATE" if found.is_some() => Some(format!(
                "Tried to create resource record set {} but it already exists",
                set.title()
            )),
            "CREATE" | "UPSERT" => put(zone, &mut next, found, set),
            _ => return Err(Refused::InvalidInput(format!("{action} is no action"))),
        };

        faults.extend(fault);
    }

    next.sort_by_key(Set::order);
    if faults.is_empty() {
        Ok(next)
    } else {
        Err(Refused::InvalidChangeBatch(faults))
    }
}

/// The limits of a batch, and the health checks that it names.
fn check_batch(changes: &[Change], has_check: impl Fn(&str) -> bool) -> Result<(), Refused> {
    let mut records = 0;
    let mut characters = 0;
    for change in changes {
        let factor = if change.action == "UPSERT" { 2 } else { 1 };
        records += change.set.values.len() * factor;
        characters += change
            .set
            .values
            .iter()
            .map(|value| value.chars().count())
            .sum::<usize>()
            * factor;
    }

    if records > RECORDS_MAX {
        return Err(Refused::InvalidChangeBatch(vec![format!(
            "Number of records limit of {RECORDS_MAX} exceeded."
        )]));
    }

    if characters > CHARACTERS_MAX {
        return Err(Refused::InvalidChangeBatch(vec![format!(
            "Maximum character limit of {CHARACTERS_MAX} exceeded."
        )]));
    }

    if let Some(check) = changes
        .iter()
        .filter_map(|change| change.set.check.as_ref())
        .find(|id| !has_check(id))
    {
        return Err(Refused::NoSuchHealthCheck(check.clone()));
    }

    Ok(())
}

/// Removes a set that was found; or why that is refused.
fn delete(zone: &str, next: &mut Vec<Set>, found: Option<usize>, set: &Set) -> Option<String> {
    let Some(at) = found else {
        return Some(format!(
            "Tried to delete resource record set {} but it was not found",
            set.title()
        ));
    };

    if next[at] != *set {
        return Some(format!(
            "Tried to delete resource record set {} but the values provided do not match the \
             current values",
            set.title()
        ));
    }

    if set.name == zone && matches!(set.record_type.as_str(), "SOA" | "NS") {
        return Some(format!(
            "A HostedZone must contain at least one {} record for the zone itself.",
            set.record_type
        ));
    }

    next.remove(at);
    None
}

/// Adds a set, in place of one that was found; or why that is refused.
fn put(zone: &str, next: &mut Vec<Set>, found: Option<usize>, set: &Set) -> Option<String> {
    let others: Vec<_> = (0..next.len())
        .filter(|&index| Some(index) != found)
        .map(|index| &next[index])
        .collect();
    let objection = objection(zone, set, &others);

    if objection.is_none() {
        if let Some(at) = found {
            next.remove(at);
        }
        next.push(set.clone());
    }

    objection
}

/// Why `set` can't exist together with `others`.
fn objection(zone: &str, set: &Set, others: &[&Set]) -> Option<String> {
    let name = &set.name;
    if name != zone && !name.ends_with(&format!(".{zone}")) {
        return Some(format!(
            "RRSet with DNS name {name} is not permitted in zone {zone}"
        ));
    }

    let by_value = set
        .values
        .iter()
        .find_map(|value| objection_to_value(&set.record_type, value));
    if by_value.is_some() {
        return by_value;
    }

    if set.record_type == "CNAME" {
        if name == zone {
            return Some(format!(
                "RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {zone}"
            ));
        }

        if set.values.len() > 1 {
            return Some(format!(
                "RRSet of type CNAME with DNS name {name} may hold one value only"
            ));
        }
    }

    others
        .iter()
        .filter(|other| other.name == *name)
        .find_map(|other| objection_to_another(zone, set, other))
}

/// Why a value is not one of its type.
fn objection_to_value(record_type: &str, value: &str) -> Option<String> {
    let address = value.parse::<IpAddr>();
    let fault = match record_type {
        "A" if !matches!(address, Ok(IpAddr::V4(_))) => {
            "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
        }
        "AAAA" if !matches!(address, Ok(IpAddr::V6(_))) => {
            "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
        }
        "TXT" if !is_quoted(value) => {
            "InvalidCharacterString (Value should be enclosed in quotation marks)"
        }
        _ => return None,
    };

    Some(format!(
        "Invalid Resource Record: FATAL problem: {fault} encountered with '{value}'"
    ))
}

/// Why `set` can't exist together with another one of its name.
fn objection_to_another(zone: &str, set: &Set, other: &Set) -> Option<String> {
    let name = &set.name;
    let types = (set.record_type.as_str(), other.record_type.as_str());
    if types.0 != types.1 {
        if types.0 == "CNAME" || types.1 == "CNAME" {
            return Some(format!(
                "RRSet of type {} with DNS name {name} is not permitted because a conflicting \
                        RRSet of type {} with the same DNS name already exists in zone {zone}",
                types.0, types.1
            ));
        }

        return None;
    }

    let title = set.title();
    if std::mem::discriminant(&set.policy) != std::mem::discriminant(&other.policy) {
        return Some(format!(
            "RRSet with DNS name {name}, type {}, SetIdentifier {:?} cannot be created because \
                    a RRSet of another routing policy with the same name and type already exists",
            set.record_type, set.id
        ));
    }

    let clash = match (&set.policy, &other.policy) {
        (Policy::Failover(one), Policy::Failover(two)) if one == two => "failover role",
        (Policy::Latency(one), Policy::Latency(two)) if one == two => "region",
        _ => return None,
    };

    Some(format!(
        "RRSet {title} cannot be created because another one has the same {clash}"
    ))
}

fn is_quoted(value: &str) -> bool {
    value.len() >= 2 && value.starts_with('"') && value.ends_with('"') && value.len() <= 4_000
}
