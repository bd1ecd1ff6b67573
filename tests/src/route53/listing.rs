//! Pages: of record sets by name, type and identifier, of health checks by ID.

use super::{
    checks::Check,
    xml::Element,
    zone::{Refused, Set, labels},
};
use std::collections::BTreeMap;

/// The largest page that may be asked for, record sets.
pub(super) const RECORDS_PAGE_MAX: usize = 300;
/// The largest page that may be asked for, health checks.
pub(super) const CHECKS_PAGE_MAX: usize = 100;

/// Parameters of a query.
pub(super) type Query = BTreeMap<String, String>;

fn page_size(query: &Query, most: usize) -> Result<usize, Refused> {
    let asked = query.get("maxitems").map(|items| items.parse::<usize>());
    match asked {
        None => Ok(most),
        Some(Ok(items)) if items > 0 => Ok(items.min(most)),
        Some(_) => Err(Refused::InvalidInput(
            "maxitems must be a positive number".into(),
        )),
    }
}

pub(super) fn records(sets: &[Set], query: &Query, most: usize) -> Result<Element, Refused> {
    let name = query.get("name");
    let record_type = query.get("type");
    let id = query.get("identifier");

    if (record_type.is_some() && name.is_none()) || (id.is_some() && record_type.is_none()) {
        return Err(Refused::InvalidInput(
            "identifier needs type, and type needs name".into(),
        ));
    }

    let size = page_size(query, most)?;
    let start = name.map(|name| {
        let name = format!("{}.", name.trim_end_matches('.').to_ascii_lowercase());
        (
            labels(&name),
            record_type.cloned().unwrap_or_default(),
            id.cloned(),
        )
    });

    let from: Vec<_> = sets
        .iter()
        .filter(|set| start.as_ref().is_none_or(|start| set.order() >= *start))
        .collect();
    let page = &from[..from.len().min(size)];
    let next = from.get(size);

    Ok(Element::new("ListResourceRecordSetsResponse")
        .list("ResourceRecordSets", page.iter().map(|set| set.element()))
        .field("IsTruncated", next.is_some())
        .maybe("NextRecordName", next.map(|set| &set.name))
        .maybe("NextRecordType", next.map(|set| &set.record_type))
        .maybe("NextRecordIdentifier", next.and_then(|set| set.id.as_ref()))
        .field("MaxItems", size))
}

pub(super) fn checks(
    known: &BTreeMap<String, Check>,
    query: &Query,
    most: usize,
) -> Result<Element, Refused> {
    let size = page_size(query, most)?;
    let marker = query.get("marker").cloned().unwrap_or_default();
    let from: Vec<_> = known.values().filter(|check| check.id >= marker).collect();
    let page = &from[..from.len().min(size)];
    let next = from.get(size);

    Ok(Element::new("ListHealthChecksResponse")
        .list("HealthChecks", page.iter().map(|check| check.element()))
        .field("Marker", &marker)
        .field("IsTruncated", next.is_some())
        .maybe("NextMarker", next.map(|check| &check.id))
        .field("MaxItems", size))
}
