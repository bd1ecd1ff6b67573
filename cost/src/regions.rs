//! From names of providers, regions and zones in bills to regions of the mesh, and back.

mod places;

use places::{CLOUDS, MORE_AZURE, PLACES};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// Longest name of a cloud or a region that is read, bytes.
const NAME_LIMIT: usize = 64;

/// A region as its cloud names it. Its text is lower case: `aws:us-west-2`. In prices, the region
/// `*` means all of the cloud's regions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloudRegion {
    cloud: String,
    region: String,
}

/// A text that is not a cloud region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a cloud region; write it as aws:us-west-2, or as aws:* for all regions of the \
        cloud"
)]
pub struct CloudRegionError(String);

impl CloudRegion {
    /// The region of a cloud, both as a bill or a person writes them: `Microsoft Azure` and `East
    /// US` are `azure:eastus`.
    pub fn new(cloud: &str, region: &str) -> Self {
        let cloud = cloud_of(cloud);
        let region = region_id(&cloud, region);
        Self { cloud, region }
    }

    /// The cloud: `aws`, `azure`, `gcp`, `oci` or another name in small letters.
    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    /// The region's id in its cloud.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// All regions of the same cloud.
    pub(crate) fn any(&self) -> Self {
        Self {
            cloud: self.cloud.clone(),
            region: "*".into(),
        }
    }
}

impl fmt::Display for CloudRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.cloud, self.region)
    }
}

impl FromStr for CloudRegion {
    type Err = CloudRegionError;

    fn from_str(text: &str) -> Result<Self, CloudRegionError> {
        let refused = || CloudRegionError(text.chars().take(NAME_LIMIT).collect());
        let (cloud, region) = text.split_once(':').ok_or_else(refused)?;
        let is_name = |name: &str| !name.trim().is_empty() && name.len() <= NAME_LIMIT;

        if !is_name(cloud) || !is_name(region) {
            return Err(refused());
        }
        Ok(Self::new(cloud, region))
    }
}

serde_as_text!(CloudRegion);

/// The cloud that a bill's provider or a configuration means: `Amazon Web Services` is `aws`. Names
/// that are not known are returned in small letters.
pub(crate) fn cloud_of(provider: &str) -> String {
    let name = provider.trim().to_lowercase();
    let known = match name.as_str() {
        "aws" | "amazon" | "amazon web services" | "amazon web services, inc." | "aws inc." => {
            "aws"
        }
        "azure" | "microsoft" | "microsoft azure" | "microsoft corporation" => "azure",
        "gcp" | "google" | "google cloud" | "google cloud platform" | "google llc" => "gcp",
        "oci"
        | "oracle"
        | "oracle cloud"
        | "oracle cloud infrastructure"
        | "oracle corporation" => "oci",
        other => other,
    };

    known.to_owned()
}

/// The id of the region that a bill's region or zone lies in, small letters: `us-west-2a` lies in
/// `us-west-2`, `europe-west1-b` in `europe-west1`, `East US` is `eastus`, `fjrQ:US-SANJOSE-1-AD-1`
/// lies in `us-sanjose-1`.
fn region_id(cloud: &str, region: &str) -> String {
    let name = region.trim().to_lowercase();
    match cloud {
        "aws" => up_to_number(&name, 3).unwrap_or(&name).to_owned(),
        "gcp" => up_to_number(&name, 2).unwrap_or(&name).to_owned(),
        "oci" => {
            let name = name
                .rsplit_once(':')
                .map_or(name.as_str(), |(_, region)| region);
            up_to_number(name, 3).unwrap_or(name).to_owned()
        }
        "azure" => {
            let compact: String = name
                .chars()
                .filter(|letter| !matches!(letter, ' ' | '_' | '(' | ')'))
                .collect();

            match compact.rsplit_once('-') {
                Some((region, zone)) if is_azure(region) && is_number(zone) => region.to_owned(),
                _ => compact,
            }
        }
        _ => name,
    }
}

/// The first `parts` parts of a dashed name, without what follows the number in the last of them;
/// `None` if no number ends them. `us-gov-west-1` has one part more.
fn up_to_number(name: &str, parts: usize) -> Option<&str> {
    let parts = parts + usize::from(name.starts_with("us-gov-") || name.starts_with("us-iso"));
    let last_start = match parts {
        0 | 1 => 0,
        _ => name.match_indices('-').nth(parts - 2)?.0 + 1,
    };
    let last = name[last_start..].split('-').next()?;
    let digits_start = last.find(|letter: char| letter.is_ascii_digit())?;
    let digits = last[digits_start..]
        .bytes()
        .take_while(u8::is_ascii_digit)
        .count();

    Some(&name[..last_start + digits_start + digits])
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn is_azure(name: &str) -> bool {
    MORE_AZURE.split_whitespace().any(|known| known == name)
        || PLACES.iter().any(|place| place[2] == name)
}

/// Whether a cloud names a region so.
fn is_region_of(cloud: &str, name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let compass = [
        "north",
        "south",
        "east",
        "west",
        "central",
        "northeast",
        "northwest",
        "southeast",
        "southwest",
    ];

    match (cloud, parts.as_slice()) {
        ("aws", [area, direction, number]) => {
            area.len() == 2 && compass.contains(direction) && is_number(number)
        }
        ("aws", ["us", area, direction, number]) => {
            is_word(area) && compass.contains(direction) && is_number(number)
        }
        ("gcp", [area, direction]) => {
            let word = direction.trim_end_matches(|letter: char| letter.is_ascii_digit());
            is_word(area) && compass.contains(&word) && word.len() < direction.len()
        }
        ("oci", [area, city, number]) => {
            is_word(area) && is_word(city) && !compass.contains(city) && is_number(number)
        }
        ("azure", _) => is_azure(name),
        _ => false,
    }
}

/// The id of the region of `cloud` that a freely chosen name means: the name itself where the cloud
/// has such a region, else the counterpart of another cloud's region of that name. Clouds that are
/// not known name their regions as they like.
fn resolve(cloud: &str, name: &str) -> Option<CloudRegion> {
    let itself = CloudRegion::new(cloud, name);
    let Some(column) = CLOUDS.iter().position(|known| *known == itself.cloud) else {
        return Some(itself);
    };

    if is_region_of(&itself.cloud, &itself.region) {
        return Some(itself);
    }

    let name = name.trim().to_lowercase();
    let place =
        (0..CLOUDS.len()).find_map(|from| PLACES.iter().find(|place| place[from] == name))?;

    Some(CloudRegion {
        cloud: itself.cloud,
        region: place[column].to_owned(),
    })
}

/// A region of the mesh, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshRegion {
    /// Its name in the mesh.
    pub name: String,
    pub cloud: String,
    /// The id of its region in bills, if it can't be derived from the name.
    pub billing_region: Option<String>,
}

/// A reason why bills can't be assigned to a mesh region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionProblem {
    /// The name means no region of the cloud.
    #[error(
        "region {region:?}: its name matches no region of {cloud}; set its billing_region to the \
         id \
            that bills use"
    )]
    Unresolved { region: String, cloud: String },
    /// Several mesh regions share one cloud region, which bills can't divide.
    #[error("regions {} all lie in {at}: bills for it can't be divided among them, reports show it \
        by its own name", regions.join(", "))]
    Shared {
        /// The region of the cloud.
        at: CloudRegion,
        regions: Vec<String>,
    },
}

/// The regions of the mesh and those that bills name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegionMap {
    billing: BTreeMap<String, CloudRegion>,
    mesh: BTreeMap<CloudRegion, BTreeSet<String>>,
    unresolved: Vec<RegionProblem>,
}

impl RegionMap {
    /// The map of a mesh of these regions.
    pub fn new(regions: impl IntoIterator<Item = MeshRegion>) -> Self {
        let mut map = Self::default();
        for MeshRegion {
            name,
            cloud,
            billing_region,
        } in regions
        {
            let at = match &billing_region {
                Some(id) => Some(CloudRegion::new(&cloud, id)),
                None => resolve(&cloud, &name),
            };
            let Some(at) = at else {
                map.unresolved.push(RegionProblem::Unresolved {
                    region: name,
                    cloud: cloud_of(&cloud),
                });
                continue;
            };

            map.mesh.entry(at.clone()).or_default().insert(name.clone());
            map.billing.insert(name, at);
        }

        map
    }

    /// The billing region of a mesh region, if known.
    pub fn billing_of(&self, mesh_region: &str) -> Option<&CloudRegion> {
        self.billing.get(mesh_region)
    }

    /// The region of the mesh that a provider's region or zone belongs to, as a bill writes both;
    /// `None` without exactly one match.
    pub fn mesh_region_of(&self, provider: &str, region: &str) -> Option<&str> {
        let names = self.mesh.get(&CloudRegion::new(provider, region))?;
        names
            .first()
            .filter(|_| names.len() == 1)
            .map(String::as_str)
    }

    /// Regions that bills can't be assigned to, and why.
    pub fn problems(&self) -> Vec<RegionProblem> {
        let shared = self
            .mesh
            .iter()
            .filter(|(_, names)| names.len() > 1)
            .map(|(at, names)| RegionProblem::Shared {
                at: at.clone(),
                regions: names.iter().cloned().collect(),
            });

        self.unresolved.iter().cloned().chain(shared).collect()
    }
}

#[cfg(test)]
mod tests;
