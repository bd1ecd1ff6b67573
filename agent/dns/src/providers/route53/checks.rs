//! The health checks that move traffic without an API call. Pure.
//!
//! For every region, Route 53's checkers ask the agents of each *other* region for their verdict on
//! it; a CALCULATED check takes the majority, and the region's record sets follow that. So neither
//! the API (its control plane lives in one region) nor any agent is needed at the moment of an
//! emergency, and no region decides about itself or about another alone.
//!
//! A check is never changed: other settings create a new check, the records move to it, and the old
//! check is deleted. A check's owner is in its caller reference, which can't be edited: `rm-<mesh
//! and zone>-<content>-<generation>`.

use super::settings::{RegionSettings, Settings};
use crate::config::CheckProtocol;
use regionmesh_protocol::identity::RegionName;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Placeholder for the ID of a check that does not exist yet.
pub(crate) const NOT_YET_CREATED: &str = "(not created yet)";

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(crate) enum CheckConfig {
    /// Asks an agent for its verdict.
    Poll {
        /// HTTP or HTTPS.
        protocol: CheckProtocol,
        /// A host name or an address.
        host: String,
        port: u16,
        path: String,
        /// Time between two requests, seconds.
        interval_s: u32,
        /// Failures in a row until it is unhealthy.
        failures: u32,
    },
    /// Healthy while enough of its children are.
    Majority {
        /// IDs of the children.
        children: BTreeSet<String>,
        /// Healthy children that suffice.
        threshold: u32,
    },
}

/// A check that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WantedCheck {
    /// Whose health it is about.
    pub(crate) region: RegionName,
    /// Whose agents are asked; none for the majority.
    pub(crate) observer: Option<RegionName>,
    /// What it does.
    pub(crate) config: CheckConfig,
    /// Its caller reference without the generation.
    #[serde(skip)]
    pub(crate) stem: String,
    #[serde(skip)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// A check that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FoundCheck {
    pub(crate) id: String,
    /// Its caller reference.
    pub(crate) reference: String,
    /// What it does; none if we would not create such a check.
    pub(crate) config: Option<CheckConfig>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// The changes to the checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CheckPlan {
    /// To be created, children first.
    pub(crate) create: Vec<WantedCheck>,
    /// To be tagged: ID and all its tags.
    pub(crate) tag: Vec<(String, BTreeMap<String, String>)>,
    /// Ours and obsolete: deleted once no record set refers to them.
    pub(crate) obsolete: Vec<FoundCheck>,
    /// For each region the check that its record sets follow.
    pub(crate) decisive: BTreeMap<RegionName, String>,
}

impl WantedCheck {
    /// Whether it can be created now: its children exist.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.config {
            CheckConfig::Poll { .. } => true,
            CheckConfig::Majority { children, .. } => !children
                .iter()
                .any(|child| child.starts_with(NOT_YET_CREATED)),
        }
    }

    /// A readable description.
    pub(crate) fn title(&self) -> String {
        match &self.observer {
            Some(observer) => format!("{} as seen by {observer}", self.region),
            None => format!("{} as seen by the majority", self.region),
        }
    }

    /// The caller reference for creating it again: one that was deleted can't be reused for days.
    pub(crate) fn next_reference(&self, found: &[FoundCheck]) -> String {
        let used = found
            .iter()
            .filter_map(|check| generation(&check.reference, &self.stem));
        reference(
            &self.stem,
            used.max().map_or(0, |used| used.saturating_add(1)),
        )
    }

    /// The reference after one that was already used.
    pub(crate) fn reference_after(&self, used: &str) -> String {
        reference(
            &self.stem,
            generation(used, &self.stem).map_or(0, |used| used.saturating_add(1)),
        )
    }
}

fn reference(stem: &str, generation: u32) -> String {
    format!("{stem}-{generation}")
}

fn generation(reference: &str, stem: &str) -> Option<u32> {
    reference
        .strip_prefix(stem)?
        .strip_prefix('-')?
        .parse()
        .ok()
}

/// How many of `observers` must report a region healthy, so that it is unhealthy exactly if a
/// majority reports it. An unreachable observer counts as reporting it unhealthy: its own region
/// may be the one that is down.
pub(crate) fn threshold(observers: usize) -> u32 {
    u32::try_from(observers - observers / 2).unwrap_or(u32::MAX)
}

/// Whose agents are asked about a region: all others. Of two regions each also observes itself,
/// since the failure of one must not make both unhealthy; its agents report the mesh's verdict, not
/// their own view.
pub(crate) fn observers<'a>(
    settings: &'a Settings,
    region: &RegionName,
) -> Vec<&'a RegionSettings> {
    let is_pair = settings.regions.len() == 2;
    settings
        .regions
        .iter()
        .filter(|other| is_pair || other.name != *region)
        .collect()
}

/// Compares the wanted checks with those that exist.
pub(crate) fn plan_checks(settings: &Settings, found: &[FoundCheck]) -> CheckPlan {
    let mut plan = CheckPlan::default();
    let mut used = BTreeSet::new();
    if settings.health_check.enabled && settings.regions.len() > 1 {
        for region in &settings.regions {
            let observers = observers(settings, &region.name);
            let mut children = BTreeSet::new();
            for observer in &observers {
                let id = plan.take(poll(settings, &region.name, observer), found);
                // Several placeholders in one set must differ.
                children.insert(if id == NOT_YET_CREATED {
                    format!("{id} {}", observer.name)
                } else {
                    id
                });
            }

            let majority = CheckConfig::Majority {
                children,
                threshold: threshold(observers.len()),
            };
            let decisive = plan.take(check(settings, &region.name, None, majority), found);

            plan.decisive.insert(region.name.clone(), decisive);
        }

        used.extend(plan.decisive.values().cloned());
        used.extend(plan.used_children(found));
    }

    plan.create
        .sort_by_key(|check| matches!(check.config, CheckConfig::Majority { .. }));

    let prefix = own_prefix(settings);
    let is_unused =
        |check: &&FoundCheck| check.reference.starts_with(&prefix) && !used.contains(&check.id);

    plan.obsolete = found.iter().filter(is_unused).cloned().collect();
    // Parents first: a child can't be deleted from under its parent.
    plan.obsolete
        .sort_by_key(|check| !matches!(check.config, Some(CheckConfig::Majority { .. })));
    plan
}

/// Whether a caller reference is one that this mesh made for this zone.
pub(crate) fn is_own(settings: &Settings, reference: &str) -> bool {
    reference.starts_with(&own_prefix(settings))
}

impl CheckPlan {
    /// The ID of an existing check that does what is wanted; else the check is added to those to
    /// create.
    fn take(&mut self, wanted: WantedCheck, found: &[FoundCheck]) -> String {
        let fits = |check: &&FoundCheck| {
            generation(&check.reference, &wanted.stem).is_some()
                && check.config.as_ref() == Some(&wanted.config)
        };
        let Some(existing) = found
            .iter()
            .filter(fits)
            .min_by(|one, two| one.reference.cmp(&two.reference))
        else {
            self.create.push(wanted);
            return NOT_YET_CREATED.into();
        };

        let is_tagged = wanted
            .tags
            .iter()
            .all(|(key, value)| existing.tags.get(key) == Some(value));

        if !is_tagged {
            self.tag.push((existing.id.clone(), wanted.tags));
        }
        existing.id.clone()
    }

    /// The children of every check that stays or will be created.
    fn used_children(&self, found: &[FoundCheck]) -> BTreeSet<String> {
        let remaining = found
            .iter()
            .filter(|check| self.decisive.values().any(|id| *id == check.id));
        let remaining = remaining.filter_map(|check| check.config.as_ref());
        let configs = remaining.chain(self.create.iter().map(|check| &check.config));

        configs
            .filter_map(|config| match config {
                CheckConfig::Majority { children, .. } => Some(children.iter().cloned()),
                CheckConfig::Poll { .. } => None,
            })
            .flatten()
            .collect()
    }
}

fn poll(settings: &Settings, region: &RegionName, observer: &RegionSettings) -> WantedCheck {
    let how = &settings.health_check;
    let config = CheckConfig::Poll {
        protocol: how.protocol,
        host: observer.agent_host.to_ascii_lowercase(),
        port: how.port,
        path: format!("{}/{region}", how.path),
        interval_s: how.interval_s,
        failures: how.failures,
    };

    check(settings, region, Some(&observer.name), config)
}

fn check(
    settings: &Settings,
    region: &RegionName,
    observer: Option<&RegionName>,
    config: CheckConfig,
) -> WantedCheck {
    let seen_by = observer.map_or("majority", |observer| observer.as_str());
    // The Debug form contains every setting. It only has to be the same for the same settings.
    let content = digest(&format!("{region} {seen_by} {config:?}"));
    let tag = |key: &str, value: String| (key.to_owned(), value);
    let tags = [
        tag(
            "Name",
            format!(
                "regionmesh {} - {region} as seen by {seen_by}",
                settings.mesh
            ),
        ),
        tag("regionmesh:mesh", settings.mesh.clone()),
        tag("regionmesh:zone", settings.zone.clone()),
        tag("regionmesh:region", region.to_string()),
        tag("regionmesh:observer", seen_by.to_owned()),
    ];

    WantedCheck {
        region: region.clone(),
        observer: observer.cloned(),
        stem: format!("{}{content}", own_prefix(settings)),
        tags: tags
            .into_iter()
            .map(|(key, value)| (key, value.chars().take(256).collect()))
            .collect(),
        config,
    }
}

fn own_prefix(settings: &Settings) -> String {
    format!(
        "rm-{}-",
        digest(&format!(
            "{} {} {}",
            settings.mesh, settings.zone_id, settings.zone
        ))
    )
}

/// 64 bits are enough among the few hundred checks of an account, and a caller reference has at
/// most 64 characters.
fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}
