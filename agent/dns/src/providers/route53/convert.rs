//! Conversion between our types and the SDK's.

use super::{
    changes::{Action, Change},
    checks::{CheckConfig, FoundCheck},
    errors::PROVIDER,
    records::{RecordSet, Routing},
};
use crate::{config::CheckProtocol, providers::ProviderError};
use aws_sdk_route53::{
    error::BuildError,
    types::{
        self, ChangeAction, ChangeBatch, HealthCheck, HealthCheckConfig, HealthCheckType,
        ResourceRecord, ResourceRecordSet, ResourceRecordSetFailover, ResourceRecordSetRegion,
        RrType,
    },
};
use std::{collections::BTreeMap, net::IpAddr};

/// Normalises a name for comparison: lower case, trailing dot.
pub(super) fn name(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.').to_ascii_lowercase())
}

/// A record set as the API returns it.
pub(super) fn record_set(set: &ResourceRecordSet) -> RecordSet {
    let id = set.set_identifier().map(str::to_owned);
    let routing = match (id, set.weight(), set.failover(), set.region()) {
        (None, ..) => Routing::Simple,
        (Some(id), Some(weight), None, None) => match u8::try_from(weight) {
            Ok(weight) => Routing::Weighted { id, weight },
            Err(_) => Routing::Other { id },
        },
        (Some(id), None, Some(failover), None) => Routing::Failover {
            id,
            is_primary: *failover == ResourceRecordSetFailover::Primary,
        },
        (Some(id), None, None, Some(region)) => Routing::Latency {
            id,
            region: region.as_str().to_owned(),
        },
        (Some(id), ..) => Routing::Other { id },
    };

    let has_other_parts = set.alias_target().is_some()
        || set.geo_location().is_some()
        || set.geo_proximity_location().is_some()
        || set.cidr_routing_config().is_some()
        || set.multi_value_answer().is_some()
        || set.traffic_policy_instance_id().is_some()
        || matches!(routing, Routing::Other { .. });

    RecordSet {
        name: name(set.name()),
        record_type: set.r#type().as_str().to_owned(),
        routing,
        ttl_s: set.ttl().and_then(|ttl| u32::try_from(ttl).ok()),
        values: set
            .resource_records()
            .iter()
            .map(|record| record.value().to_owned())
            .collect(),
        health_check: set.health_check_id().map(str::to_owned),
        has_other_parts,
    }
}

/// A change batch as the API wants it.
pub(super) fn batch(changes: &[Change], comment: &str) -> Result<ChangeBatch, ProviderError> {
    let changes = changes
        .iter()
        .map(change)
        .collect::<Result<Vec<_>, _>>()
        .map_err(malformed)?;

    // The API takes a comment of at most 256 characters.
    let comment: String = comment.chars().take(256).collect();
    ChangeBatch::builder()
        .comment(comment)
        .set_changes(Some(changes))
        .build()
        .map_err(malformed)
}

fn change(change: &Change) -> Result<types::Change, BuildError> {
    let set = &change.set;
    let records = set
        .values
        .iter()
        .map(|value| ResourceRecord::builder().value(value).build())
        .collect::<Result<Vec<_>, _>>()?;
    let mut builder = ResourceRecordSet::builder()
        .name(&set.name)
        .r#type(RrType::from(set.record_type.as_str()))
        .set_ttl(set.ttl_s.map(i64::from))
        .set_resource_records(Some(records))
        .set_health_check_id(set.health_check.clone())
        .set_set_identifier(set.routing.identifier().map(str::to_owned));

    builder = match &set.routing {
        Routing::Simple | Routing::Other { .. } => builder,
        Routing::Weighted { weight, .. } => builder.weight(i64::from(*weight)),
        Routing::Failover {
            is_primary: true, ..
        } => builder.failover(ResourceRecordSetFailover::Primary),
        Routing::Failover {
            is_primary: false, ..
        } => builder.failover(ResourceRecordSetFailover::Secondary),
        Routing::Latency { region, .. } => {
            builder.region(ResourceRecordSetRegion::from(region.as_str()))
        }
    };

    let action = match change.action {
        Action::Create => ChangeAction::Create,
        Action::Delete => ChangeAction::Delete,
        Action::Upsert => ChangeAction::Upsert,
    };

    types::Change::builder()
        .action(action)
        .resource_record_set(builder.build()?)
        .build()
}

/// A health check as the API returns it.
pub(super) fn check(check: &HealthCheck) -> FoundCheck {
    FoundCheck {
        id: check.id().to_owned(),
        reference: check.caller_reference().to_owned(),
        config: check.health_check_config().and_then(known_config),
        tags: BTreeMap::new(),
    }
}

/// What a check does, if it is one that we would create.
fn known_config(config: &HealthCheckConfig) -> Option<CheckConfig> {
    let is_altered = config.inverted().unwrap_or(false)
        || config.disabled().unwrap_or(false)
        || config.search_string().is_some()
        || !config.regions().is_empty();

    if is_altered {
        return None;
    }

    let protocol = match config.r#type() {
        HealthCheckType::Calculated => {
            return Some(CheckConfig::Majority {
                children: config.child_health_checks().iter().cloned().collect(),
                threshold: config
                    .health_threshold()
                    .and_then(|threshold| u32::try_from(threshold).ok())?,
            });
        }
        HealthCheckType::Http => CheckProtocol::Http,
        HealthCheckType::Https => CheckProtocol::Https,
        _ => return None,
    };

    let host = match (config.ip_address(), config.fully_qualified_domain_name()) {
        (Some(address), None) => address,
        (None, Some(name)) => name,
        _ => return None,
    };

    Some(CheckConfig::Poll {
        protocol,
        host: host.to_ascii_lowercase(),
        port: config.port().and_then(|port| u16::try_from(port).ok())?,
        path: config.resource_path().unwrap_or_default().to_owned(),
        interval_s: config
            .request_interval()
            .and_then(|interval| u32::try_from(interval).ok())?,
        failures: config
            .failure_threshold()
            .and_then(|failures| u32::try_from(failures).ok())?,
    })
}

/// A check's settings as the API wants them.
pub(super) fn check_config(config: &CheckConfig) -> Result<HealthCheckConfig, ProviderError> {
    let int = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let builder = match config {
        CheckConfig::Majority {
            children,
            threshold,
        } => HealthCheckConfig::builder()
            .r#type(HealthCheckType::Calculated)
            .set_child_health_checks(Some(children.iter().cloned().collect()))
            .health_threshold(int(*threshold)),
        CheckConfig::Poll {
            protocol,
            host,
            port,
            path,
            interval_s,
            failures,
        } => {
            let builder = HealthCheckConfig::builder()
                .port(i32::from(*port))
                .resource_path(path)
                .request_interval(int(*interval_s))
                .failure_threshold(int(*failures));
            let is_address = host.parse::<IpAddr>().is_ok();
            let builder = if is_address {
                builder.ip_address(host)
            } else {
                builder.fully_qualified_domain_name(host)
            };

            match protocol {
                CheckProtocol::Http => builder.r#type(HealthCheckType::Http),
                // The server name is sent where there is one, as an agent behind a load balancer
                // needs it.
                CheckProtocol::Https => builder
                    .r#type(HealthCheckType::Https)
                    .enable_sni(!is_address),
            }
        }
    };

    builder.build().map_err(malformed)
}

fn malformed(error: BuildError) -> ProviderError {
    ProviderError::Refused {
        provider: PROVIDER,
        operation: "build",
        code: "Malformed".into(),
        message: error.to_string(),
    }
}
