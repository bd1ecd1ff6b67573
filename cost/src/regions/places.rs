//! Equivalent regions of the large clouds.

use std::sync::LazyLock;

/// Equivalent regions: AWS, Google Cloud, Azure, Oracle.
pub(super) type Place = Vec<&'static str>;

/// The clouds, in the order of the columns of [`PLACES`].
pub(super) const CLOUDS: [&str; 4] = ["aws", "gcp", "azure", "oci"];

/// One row per commercial AWS region. The counterpart is in the same city, else in the same
/// country, else in the same jurisdiction (the EU for Ireland), else the nearest; among several
/// that fit, a general one with zones. Sources: the providers' lists of regions and their locations
/// (AWS "Regions and Zones", Google Cloud "Regions and zones", Azure "List of Azure regions",
/// Oracle "Regions and Availability Domains"), read in November 2026. `ap-south-1` is Azure's
/// `centralindia` (Pune), as its Mumbai region, `westindia`, has no zones.
pub(super) static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
    let rows = TABLE.lines().filter(|row| !row.trim().is_empty());
    rows.map(|row| row.split_whitespace().collect()).collect()
});

const TABLE: &str = "
    us-east-1       us-east4                 eastus              us-ashburn-1
    us-east-2       us-east5                 eastus2             us-chicago-1
    us-west-1       us-west2                 westus              us-sanjose-1
    us-west-2       us-west1                 westus2             us-sanjose-1
    af-south-1      africa-south1            southafricanorth    af-johannesburg-1
    ap-east-1       asia-east2               eastasia            ap-singapore-1
    ap-east-2       asia-east1               eastasia            ap-osaka-1
    ap-south-1      asia-south1              centralindia        ap-mumbai-1
    ap-south-2      asia-south1              centralindia        ap-hyderabad-1
    ap-southeast-1  asia-southeast1          southeastasia       ap-singapore-1
    ap-southeast-2  australia-southeast1     australiaeast       ap-sydney-1
    ap-southeast-3  asia-southeast2          indonesiacentral    ap-batam-1
    ap-southeast-4  australia-southeast2     australiasoutheast  ap-melbourne-1
    ap-southeast-5  asia-southeast1          malaysiawest        ap-singapore-1
    ap-southeast-6  australia-southeast1     newzealandnorth     ap-sydney-1
    ap-southeast-7  asia-southeast1          southeastasia       ap-singapore-1
    ap-northeast-1  asia-northeast1          japaneast           ap-tokyo-1
    ap-northeast-2  asia-northeast3          koreacentral        ap-seoul-1
    ap-northeast-3  asia-northeast2          japanwest           ap-osaka-1
    ca-central-1    northamerica-northeast1  canadacentral       ca-montreal-1
    ca-west-1       northamerica-northeast2  canadacentral       ca-toronto-1
    eu-central-1    europe-west3             germanywestcentral  eu-frankfurt-1
    eu-central-2    europe-west6             switzerlandnorth    eu-zurich-1
    eu-west-1       europe-west1             northeurope         eu-amsterdam-1
    eu-west-2       europe-west2             uksouth             uk-london-1
    eu-west-3       europe-west9             francecentral       eu-paris-1
    eu-north-1      europe-north2            swedencentral       eu-stockholm-1
    eu-south-1      europe-west8             italynorth          eu-milan-1
    eu-south-2      europe-southwest1        spaincentral        eu-madrid-1
    il-central-1    me-west1                 israelcentral       il-jerusalem-1
    me-south-1      me-central1              qatarcentral        me-dubai-1
    me-central-1    me-central1              uaenorth            me-dubai-1
    mx-central-1    northamerica-south1      mexicocentral       mx-queretaro-1
    sa-east-1       southamerica-east1       brazilsouth         sa-saopaulo-1
";

/// Azure regions that no row of [`PLACES`] names: Azure's names follow no pattern, so they are
/// listed.
pub(super) const MORE_AZURE: &str = "
    australiacentral australiacentral2 austriaeast belgiumcentral brazilsoutheast canadaeast
    centralus chilecentral denmarkeast francesouth germanynorth jioindiacentral jioindiawest
    koreasouth northcentralus norwayeast norwaywest polandcentral southafricawest southcentralus
    southindia swedensouth switzerlandwest taiwannorth taiwannorthwest uaecentral ukwest
    westcentralus westeurope westindia westus3
";
