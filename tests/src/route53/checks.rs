//! Health checks, and the rules by which they are made. Pure.
//!
//! Route 53 API reference, CreateHealthCheck, HealthCheckConfig, DeleteHealthCheck.

use super::{xml::Element, zone::Refused};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Longest caller reference.
const REFERENCE_MAX: usize = 64;
/// Most children of a CALCULATED check.
const CHILDREN_MAX: usize = 256;

/// A health check.
#[derive(Debug, Clone)]
pub struct Check {
    pub id: String,
    /// The caller reference, which makes creation idempotent.
    pub reference: String,
    /// What it does.
    pub kind: CheckKind,
    pub tags: BTreeMap<String, String>,
    /// Its settings as they were given.
    pub(super) config: Element,
    /// Answers in a row that contradict `is_healthy`.
    pub(super) contrary: u32,
    /// The current status. A new check is healthy until probes show otherwise.
    pub(super) is_healthy: bool,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Probes over HTTP.
    Poll {
        /// Host name or address.
        host: String,
        port: u16,
        path: String,
        /// Answers in a row that change its status.
        failures: u32,
    },
    /// Counts healthy children.
    Calculated {
        /// IDs of other checks.
        children: BTreeSet<String>,
        /// How many must be healthy.
        threshold: u32,
    },
}

fn input(text: &str) -> Refused {
    Refused::InvalidInput(text.to_owned())
}

/// A field that holds a number.
fn number(config: &Element, name: &str, default: u32) -> Result<u32, Refused> {
    match config.text_of(name) {
        Some(text) => text
            .parse::<u32>()
            .map_err(|_| input(&format!("{name} must be a number"))),
        None => Ok(default),
    }
}

/// What a health check of these settings does.
pub(super) fn read(
    config: &Element,
    known: &BTreeMap<String, Check>,
) -> Result<CheckKind, Refused> {
    let protocol = config
        .text_of("Type")
        .ok_or_else(|| input("Type is missing"))?;

    match protocol.as_str() {
        "CALCULATED" => read_calculated(config, known),
        "HTTP" | "HTTPS" => read_poll(config, &protocol),
        _ => Err(input("the fake knows HTTP, HTTPS and CALCULATED")),
    }
}

fn read_calculated(
    config: &Element,
    known: &BTreeMap<String, Check>,
) -> Result<CheckKind, Refused> {
    let children: BTreeSet<_> = config
        .all("ChildHealthChecks")
        .map(|child| child.text.clone())
        .collect();
    let threshold = number(config, "HealthThreshold", 0)?;

    if [
        "IPAddress",
        "FullyQualifiedDomainName",
        "Port",
        "ResourcePath",
    ]
    .iter()
    .any(|name| config.get(name).is_some())
    {
        return Err(input("a CALCULATED health check has no endpoint"));
    }

    if children.len() > CHILDREN_MAX || threshold > 256 {
        return Err(input(
            "a CALCULATED health check has at most 256 children and a threshold of at most \
                        256",
        ));
    }

    if let Some(unknown) = children.iter().find(|child| !known.contains_key(*child)) {
        return Err(input(&format!(
            "the child health check {unknown} does not exist"
        )));
    }

    if children
        .iter()
        .any(|child| matches!(known[child].kind, CheckKind::Calculated { .. }))
    {
        return Err(input("a CALCULATED health check can't watch another one"));
    }

    Ok(CheckKind::Calculated {
        children,
        threshold,
    })
}

fn read_poll(config: &Element, protocol: &str) -> Result<CheckKind, Refused> {
    let interval = number(config, "RequestInterval", 30)?;
    let failures = number(config, "FailureThreshold", 3)?;
    let port = number(config, "Port", if protocol == "HTTP" { 80 } else { 443 })?;
    let path = config.text_of("ResourcePath").unwrap_or_default();

    if !matches!(interval, 10 | 30)
        || !(1..=10).contains(&failures)
        || !(1..=65_535).contains(&port)
    {
        return Err(input(
            "RequestInterval is 10 or 30, FailureThreshold 1 to 10, Port 1 to 65535",
        ));
    }

    if path.len() > 255 {
        return Err(input("ResourcePath has at most 255 characters"));
    }

    let host = read_host(config)?;
    let port = u16::try_from(port).unwrap_or(u16::MAX);
    Ok(CheckKind::Poll {
        host,
        port,
        path,
        failures,
    })
}

/// The host name or address that a check probes.
fn read_host(config: &Element) -> Result<String, Refused> {
    match (
        config.text_of("IPAddress"),
        config.text_of("FullyQualifiedDomainName"),
    ) {
        (Some(address), _) => {
            let ip = address
                .parse::<IpAddr>()
                .map_err(|_| input("IPAddress is no address"))?;
            if !is_public(ip) {
                return Err(input("IPAddress is not in a public range"));
            }
            Ok(address)
        }
        (None, Some(name)) if !name.is_empty() && name.len() <= 255 => Ok(name),
        _ => Err(input("IPAddress or FullyQualifiedDomainName is needed")),
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || ip.is_multicast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_multicast())
        }
    }
}

pub(super) fn check_reference(reference: &str) -> Result<(), Refused> {
    if reference.is_empty() || reference.len() > REFERENCE_MAX {
        return Err(Refused::InvalidInput(format!(
            "CallerReference has 1 to {REFERENCE_MAX} characters"
        )));
    }

    Ok(())
}

/// Whether a check is healthy; a deleted one is not.
pub(super) fn is_healthy(known: &BTreeMap<String, Check>, id: &str) -> bool {
    known.get(id).is_some_and(|check| match &check.kind {
        CheckKind::Poll { .. } => check.is_healthy,
        CheckKind::Calculated {
            children,
            threshold,
        } => {
            let healthy = children
                .iter()
                .filter(|child| is_healthy(known, child))
                .count();
            healthy >= usize::try_from(*threshold).unwrap_or(usize::MAX)
        }
    })
}

impl Check {
    /// Takes in one answer of the endpoint.
    pub(super) fn record(&mut self, is_good: bool) {
        let CheckKind::Poll { failures, .. } = &self.kind else {
            return;
        };
        self.contrary = if is_good == self.is_healthy {
            0
        } else {
            self.contrary + 1
        };

        if self.contrary >= *failures {
            (self.is_healthy, self.contrary) = (is_good, 0);
        }
    }

    pub(super) fn element(&self) -> Element {
        let mut config = self.config.clone();
        config.name = "HealthCheckConfig".into();
        Element::new("HealthCheck")
            .field("Id", &self.id)
            .field("CallerReference", &self.reference)
            .child(config)
            .field("HealthCheckVersion", 1)
    }
}
