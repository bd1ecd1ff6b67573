//! Which versions a region may serve, and which of a model's versions is its default. Pure.

use regionmesh_protocol::models::{
    catalogue::Catalogue,
    digest::Digest,
    manifest::{ModelName, VersionName},
};
use std::{cmp::Ordering, collections::BTreeMap};

/// The alias that names a model's default version.
pub const PRODUCTION: &str = "production";

/// One model of a catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HeldModel {
    /// Existing versions, with the digest of their content.
    pub(crate) versions: BTreeMap<VersionName, Digest>,
    /// Aliases and the versions that they name, whether held or not.
    pub(crate) aliases: BTreeMap<VersionName, VersionName>,
}

impl HeldModel {
    /// The default version: the alias `production`, else the highest.
    ///
    /// While the alias names a version that has not arrived here, `current` (what is served now)
    /// stays if it is still held: moving users late is better than moving them to a third version.
    pub(crate) fn default_version(&self, current: Option<&VersionName>) -> Option<&VersionName> {
        let alias = self
            .aliases
            .iter()
            .find(|(alias, _)| alias.as_str() == PRODUCTION)
            .map(|(_, version)| version);

        if let Some(version) = alias {
            if let Some((held, _)) = self.versions.get_key_value(version) {
                return Some(held);
            }

            if let Some((held, _)) =
                current.and_then(|current| self.versions.get_key_value(current))
            {
                return Some(held);
            }
        }

        // A `+conflict.` version lost its name to another; it is stored for inspection, not for
        // serving.
        let contenders = self
            .versions
            .keys()
            .filter(|version| !version.as_str().contains("+conflict."));

        contenders.max_by(|a, b| compare(a.as_str(), b.as_str()))
    }

    /// The version that a request means by `name`: a version, else an alias of one that is held.
    pub(crate) fn resolve(&self, name: &VersionName) -> Option<(&VersionName, Digest)> {
        let version = if self.versions.contains_key(name) {
            name
        } else {
            self.aliases.get(name)?
        };

        self.versions
            .get_key_value(version)
            .map(|(version, content)| (version, *content))
    }
}

/// The models of a catalogue, without the mesh's own data; deletions are honoured.
pub(crate) fn held_models(catalogue: &Catalogue) -> BTreeMap<ModelName, HeldModel> {
    let mut deleted = BTreeMap::new();
    for tombstone in &catalogue.tombstones {
        let latest = deleted
            .entry((&tombstone.model, &tombstone.version))
            .or_insert(tombstone.deleted);
        *latest = (*latest).max(tombstone.deleted);
    }

    let mut models: BTreeMap<ModelName, HeldModel> = BTreeMap::new();
    for version in catalogue.published() {
        if deleted
            .get(&(&version.model, &version.version))
            .is_none_or(|deleted| version.published > *deleted)
        {
            let model = models.entry(version.model.clone()).or_default();
            model
                .versions
                .insert(version.version.clone(), version.content);
        }
    }

    for entry in &catalogue.aliases {
        if let Some(model) = models.get_mut(&entry.model) {
            model
                .aliases
                .insert(entry.alias.clone(), entry.version.clone());
        }
    }

    models
}

/// Orders version names in natural order: runs of digits by value (10 > 9, 1.10 > 1.9), the rest as
/// text; names equal so far (`1` and `01`) as plain text, so that the order is total. As in
/// Semantic Versioning §11.4 a suffix that begins with `-` ranks before the version without it:
/// `2.0-rc1` < `2.0`.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let mut left = a.as_bytes();
    let mut right = b.as_bytes();
    loop {
        match (left.first(), right.first()) {
            (None, None) => return a.cmp(b),
            (None, Some(next)) => {
                return if *next == b'-' {
                    Ordering::Greater
                } else {
                    Ordering::Less
                };
            }
            (Some(next), None) => {
                return if *next == b'-' {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
            }
            (Some(l), Some(r)) if l.is_ascii_digit() && r.is_ascii_digit() => {
                let (l, l_rest) = number(left);
                let (r, r_rest) = number(right);

                // Without leading zeros the longer number is the greater one, however long.
                let order = l.len().cmp(&r.len()).then_with(|| l.cmp(r));
                if order != Ordering::Equal {
                    return order;
                }
                (left, right) = (l_rest, r_rest);
            }
            (Some(l), Some(r)) if l != r => {
                // `2.0-rc1` against `2.0.1`: a pre-release ranks before a longer version.
                return (*l != b'-').cmp(&(*r != b'-')).then(l.cmp(r));
            }
            _ => (left, right) = (&left[1..], &right[1..]),
        }
    }
}

/// The leading digits without leading zeros, and the rest.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits
        .iter()
        .position(|b| *b != b'0')
        .unwrap_or(digits.len());

    (&digits[zeros..], rest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regionmesh_protocol::{
        clock::HybridTime,
        models::{
            catalogue::{AliasEntry, Tombstone},
            manifest::VersionSummary,
        },
    };

    fn summary(model: &str, version: &str, at: u64) -> VersionSummary {
        VersionSummary {
            model: model.parse().unwrap(),
            version: version.parse().unwrap(),
            content: Digest([0; 32]),
            size: 1,
            published: HybridTime {
                wall_ms: at,
                counter: 0,
            },
            origin: "r".parse().unwrap(),
        }
    }

    fn alias(model: &str, version: &str) -> AliasEntry {
        AliasEntry {
            set: HybridTime::default(),
            origin: "r".parse().unwrap(),
            model: model.parse().unwrap(),
            alias: PRODUCTION.parse().unwrap(),
            version: version.parse().unwrap(),
            by: String::new(),
        }
    }

    fn model(versions: &[&str], production: Option<&str>) -> HeldModel {
        let catalogue = Catalogue {
            versions: versions
                .iter()
                .map(|version| summary("m", version, 1))
                .collect(),
            aliases: production
                .iter()
                .map(|version| alias("m", version))
                .collect(),
            tombstones: vec![],
        };

        held_models(&catalogue)
            .remove(&"m".parse().unwrap())
            .unwrap_or_default()
    }

    fn default(model: &HeldModel, current: Option<&str>) -> Option<String> {
        let current: Option<VersionName> = current.map(|current| current.parse().unwrap());
        model
            .default_version(current.as_ref())
            .map(ToString::to_string)
    }

    proptest! {
        #[test]
        fn the_order_of_versions_is_total(
            a in "[0-9a-c.-]{0,6}",
            b in "[0-9a-c.-]{0,6}",
            c in "[0-9a-c.-]{0,6}",
        ) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &b) == Ordering::Equal, a == b);
            if compare(&a, &b).is_lt() && compare(&b, &c).is_lt() {
                prop_assert!(compare(&a, &c).is_lt(), "{a} < {b} < {c}");
            }
        }

        #[test]
        fn integers_are_ordered_by_value(a: u32, b: u32) {
            prop_assert_eq!(compare(&a.to_string(), &b.to_string()), a.cmp(&b));
        }
    }

    #[test]
    fn versions_sort_in_natural_order() {
        let sorted = [
            "1",
            "1.9",
            "1.10",
            "2.0-rc1",
            "2.0-rc2",
            "2.0",
            "2.0.1",
            "9",
            "10",
            "18446744073709551616",
        ];

        for pair in sorted.windows(2) {
            assert!(
                compare(pair[0], pair[1]).is_lt(),
                "{} is not before {}",
                pair[0],
                pair[1]
            );
        }
    }

    #[test]
    fn the_production_alias_outranks_the_highest_version() {
        assert_eq!(default(&model(&["9", "10"], None), None).unwrap(), "10");
        assert_eq!(default(&model(&["9", "10"], Some("9")), None).unwrap(), "9");
    }

    #[test]
    fn a_conflict_version_never_becomes_the_default() {
        assert_eq!(
            default(&model(&["1", "2+conflict.r"], None), None).unwrap(),
            "1"
        );
        assert_eq!(default(&model(&["2+conflict.r"], None), None), None);
    }

    #[test]
    fn an_alias_to_a_missing_version_does_not_change_the_default() {
        assert_eq!(
            default(&model(&["1", "2"], Some("3")), Some("1")).unwrap(),
            "1"
        );

        assert_eq!(default(&model(&["1", "2"], Some("3")), None).unwrap(), "2");
        assert_eq!(
            default(&model(&["1", "2"], Some("3")), Some("0")).unwrap(),
            "2",
            "0 is not held any more"
        );
    }

    #[test]
    fn a_deleted_version_is_not_held_unless_republished_later() {
        let tombstone = |version: &str| Tombstone {
            model: "m".parse().unwrap(),
            version: version.parse().unwrap(),
            deleted: HybridTime {
                wall_ms: 5,
                counter: 0,
            },
            origin: "r".parse().unwrap(),
            content: None,
        };

        let versions = vec![summary("m", "1", 5), summary("m", "2", 6)];
        let catalogue = Catalogue {
            versions,
            aliases: vec![],
            tombstones: vec![tombstone("1"), tombstone("2")],
        };
        let held = held_models(&catalogue);
        let versions: Vec<_> = held[&"m".parse().unwrap()]
            .versions
            .keys()
            .map(VersionName::as_str)
            .collect();

        assert_eq!(versions, ["2"]);
    }
}
