//! The operations of the API, each on the state of an account.

use super::{
    ZONE, ZONE_ID,
    listing::{self, Query},
    state::State,
    xml::Element,
    zone::{Change, Refused, Set},
};
use http::StatusCode;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Does what is asked, under the lock: one request after the other.
pub(super) fn perform(
    state: &Mutex<State>,
    operation: &str,
    id: &str,
    query: &str,
    body: &[u8],
) -> (StatusCode, Element) {
    let mut state = state.lock();
    let query: Query = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let has_bare_errors = state.options.has_bare_batch_errors;
    let done = perform_on(&mut state, operation, id, &query, body);

    match done {
        Ok(done) => done,
        Err(Refused::InvalidChangeBatch(messages)) if has_bare_errors => {
            let messages = messages.into_iter().map(|text| Element {
                text,
                ..Element::new("Message")
            });

            (
                StatusCode::BAD_REQUEST,
                Element::new("InvalidChangeBatch").list("Messages", messages),
            )
        }
        Err(Refused::InvalidChangeBatch(messages)) => (
            StatusCode::BAD_REQUEST,
            error_element("InvalidChangeBatch", &format!("[{}]", messages.join(", "))),
        ),
        Err(Refused::NoSuchHealthCheck(id)) => no_such("HealthCheck", &id),
        Err(Refused::InvalidInput(text)) if text == "HealthCheckAlreadyExists" => (
            StatusCode::CONFLICT,
            error_element(
                &text,
                "a health check with this caller reference exists or existed",
            ),
        ),
        Err(Refused::InvalidInput(text)) => (
            StatusCode::BAD_REQUEST,
            error_element("InvalidInput", &text),
        ),
    }
}

fn perform_on(
    state: &mut State,
    operation: &str,
    id: &str,
    query: &Query,
    body: &[u8],
) -> Result<(StatusCode, Element), Refused> {
    let ok = |element| Ok((StatusCode::OK, element));
    let request = || {
        let text = String::from_utf8_lossy(body);
        Element::parse(&text).map_err(Refused::InvalidInput)
    };
    let is_of_zone = matches!(
        operation,
        "GetHostedZone" | "ListResourceRecordSets" | "ChangeResourceRecordSets"
    );

    if is_of_zone && id != ZONE_ID {
        return Ok(no_such("HostedZone", id));
    }

    match operation {
        "GetHostedZone" => ok(hosted_zone(state)),
        "ListResourceRecordSets" => ok(listing::records(
            &state.sets,
            query,
            state.options.records_page,
        )?),
        "ChangeResourceRecordSets" => ok(state.change(&changes_of(&request()?)?)?),
        "GetChange" => Ok(state
            .change_state(id)
            .map_or_else(|| no_such("Change", id), |found| (StatusCode::OK, found))),
        "CreateHealthCheck" => create_check(state, &request()?),
        "ListHealthChecks" => ok(listing::checks(
            &state.checks,
            query,
            state.options.checks_page,
        )?),
        "GetHealthCheck" => Ok(match state.checks.get(id) {
            Some(check) => (
                StatusCode::OK,
                Element::new("GetHealthCheckResponse").child(check.element()),
            ),
            None => no_such("HealthCheck", id),
        }),
        "DeleteHealthCheck" if state.delete_check(id) => {
            ok(Element::new("DeleteHealthCheckResponse"))
        }
        "DeleteHealthCheck" => Ok(no_such("HealthCheck", id)),
        "ListTagsForResources" => list_tags(state, &request()?),
        _ => add_tags(state, id, &request()?),
    }
}

fn hosted_zone(state: &State) -> Element {
    let config = Element::new("Config").field("PrivateZone", false);
    let zone = Element::new("HostedZone")
        .field("Id", format!("/hostedzone/{ZONE_ID}"))
        .field("Name", ZONE)
        .field("CallerReference", "fake")
        .child(config)
        .field("ResourceRecordSetCount", state.sets.len());

    let servers = ["ns-1.awsdns-fake.test", "ns-2.awsdns-fake.test"];
    let servers = servers.map(|text| Element {
        text: text.into(),
        ..Element::new("NameServer")
    });
    let delegation = Element::new("DelegationSet").list("NameServers", servers);

    Element::new("GetHostedZoneResponse")
        .child(zone)
        .child(delegation)
}

fn changes_of(request: &Element) -> Result<Vec<Change>, Refused> {
    let batch = request.get("ChangeBatch").cloned().unwrap_or_default();
    let change = |change: &Element| {
        let set = change.get("ResourceRecordSet").cloned().unwrap_or_default();
        Ok(Change {
            action: change.text_of("Action").unwrap_or_default(),
            set: Set::read(&set)?,
        })
    };

    batch.all("Changes").map(change).collect()
}

fn create_check(state: &mut State, request: &Element) -> Result<(StatusCode, Element), Refused> {
    let reference = request.text_of("CallerReference").unwrap_or_default();
    let config = request
        .get("HealthCheckConfig")
        .cloned()
        .unwrap_or_default();
    let (id, is_new) = state.create_check(&reference, &config)?;
    let element = Element::new("CreateHealthCheckResponse").child(state.checks[&id].element());
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };

    Ok((status, element))
}

fn list_tags(state: &State, request: &Element) -> Result<(StatusCode, Element), Refused> {
    let ids: Vec<_> = request
        .all("ResourceIds")
        .map(|id| id.text.clone())
        .collect();

    if ids.is_empty() || ids.len() > 10 {
        return Err(Refused::InvalidInput(
            "1 to 10 resources can be asked for".into(),
        ));
    }

    if let Some(unknown) = ids.iter().find(|id| !state.checks.contains_key(*id)) {
        return Ok(no_such("HealthCheck", unknown));
    }

    let tag = |(key, value): (&String, &String)| {
        Element::new("Tag").field("Key", key).field("Value", value)
    };
    let set = |id: &String| {
        let set = Element::new("ResourceTagSet")
            .field("ResourceType", "healthcheck")
            .field("ResourceId", id);
        set.list("Tags", state.checks[id].tags.iter().map(tag))
    };

    let sets = ids.iter().map(set);
    let element = Element::new("ListTagsForResourcesResponse").list("ResourceTagSets", sets);
    Ok((StatusCode::OK, element))
}

fn add_tags(
    state: &mut State,
    id: &str,
    request: &Element,
) -> Result<(StatusCode, Element), Refused> {
    let Some(check) = state.checks.get_mut(id) else {
        return Ok(no_such("HealthCheck", id));
    };
    let pair = |tag: &Element| {
        let key = tag.text_of("Key")?;
        Some((key, tag.text_of("Value").unwrap_or_default()))
    };
    let pairs: BTreeMap<_, _> = request.all("AddTags").filter_map(pair).collect();
    let is_too_long = |(key, value): (&String, &String)| key.len() > 128 || value.len() > 256;

    if pairs.len() > 10 || pairs.iter().any(is_too_long) {
        return Err(Refused::InvalidInput(
            "at most 10 tags of 128 and 256 characters".into(),
        ));
    }

    check.tags.extend(pairs);
    Ok((
        StatusCode::OK,
        Element::new("ChangeTagsForResourceResponse"),
    ))
}

fn no_such(kind: &str, id: &str) -> (StatusCode, Element) {
    (
        StatusCode::NOT_FOUND,
        error_element(
            &format!("NoSuch{kind}"),
            &format!("there is no such thing: {id}"),
        ),
    )
}

pub(super) fn error_element(code: &str, message: &str) -> Element {
    let error = Element::new("Error")
        .field("Type", "Sender")
        .field("Code", code)
        .field("Message", message);

    Element::new("ErrorResponse")
        .child(error)
        .field("RequestId", "fake")
}
