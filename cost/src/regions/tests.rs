#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

fn region(name: &str, cloud: &str) -> MeshRegion {
    MeshRegion {
        name: name.into(),
        cloud: cloud.into(),
        billing_region: None,
    }
}

fn billed(name: &str, cloud: &str) -> Option<String> {
    RegionMap::new([region(name, cloud)])
        .billing_of(name)
        .map(|at| at.region().to_owned())
}

proptest! {
    #[test]
    fn arbitrary_names_never_panic(
        cloud: String,
        name: String,
        dashed in "[a-z]{0,3}(-[a-z0-9é]{0,4}){0,5}",
    ) {
        for cloud in [cloud.as_str(), "aws", "gcp", "azure", "oci"] {
            for name in [&name, &dashed] {
                let map = RegionMap::new([region(name, cloud)]);
                let _ = (
                    map.mesh_region_of(cloud, name),
                    map.problems(),
                    name.parse::<CloudRegion>(),
                );
            }
        }
    }

    #[test]
    fn writing_a_region_twice_changes_nothing(
        cloud in "aws|azure|gcp|oci|hetzner",
        name in "[a-z]{1,9}(-[a-z]{1,9}){0,2}-?[0-9]?[a-z]?",
    ) {
        let once = CloudRegion::new(&cloud, &name);
        prop_assert_eq!(&CloudRegion::new(once.cloud(), once.region()), &once);
        prop_assert_eq!(once.to_string().parse::<CloudRegion>().unwrap(), once);
    }
}

#[test]
fn each_known_region_maps_to_itself_and_back() {
    for place in PLACES.iter() {
        for (cloud, id) in CLOUDS.iter().zip(place) {
            assert!(is_region_of(cloud, id), "{cloud} {id}");
            assert_eq!(billed(id, cloud).as_deref(), Some(*id), "{cloud}");

            let map = RegionMap::new([region("here", cloud)]);
            assert_eq!(map.mesh_region_of(cloud, id), None);

            let map = RegionMap::new([MeshRegion {
                billing_region: Some((*id).into()),
                ..region("here", cloud)
            }]);

            assert_eq!(map.mesh_region_of(cloud, &id.to_uppercase()), Some("here"));
        }
    }

    for id in MORE_AZURE.split_whitespace() {
        assert!(
            PLACES.iter().all(|place| place[2] != id),
            "{id} is listed twice"
        );
    }
}

#[test]
fn an_aws_name_means_the_counterpart_in_another_cloud() {
    for (name, cloud, id) in [
        ("eu-west-1", "gcp", "europe-west1"),
        ("ap-south-1", "azure", "centralindia"),
        ("ap-south-1", "gcp", "asia-south1"),
        ("us-west-2", "aws", "us-west-2"),
        ("us-west-2", "gcp", "us-west1"),
        ("US-West-2", "Microsoft Azure", "westus2"),
        ("eu-central-1", "oracle", "eu-frankfurt-1"),
        ("europe-west1", "gcp", "europe-west1"),
        ("East US", "azure", "eastus"),
        ("westeurope", "azure", "westeurope"),
        ("europe-west3", "aws", "eu-central-1"),
        ("us-gov-west-1", "aws", "us-gov-west-1"),
        ("rack-7", "hetzner", "rack-7"),
    ] {
        assert_eq!(billed(name, cloud).as_deref(), Some(id), "{cloud} {name}");
    }
}

#[test]
fn providers_have_many_spellings() {
    for (provider, cloud) in [
        ("AWS", "aws"),
        ("Amazon Web Services", "aws"),
        ("Microsoft", "azure"),
        ("Microsoft Azure", "azure"),
        ("Google", "gcp"),
        ("Google Cloud", "gcp"),
        ("Oracle", "oci"),
        (" DigitalOcean ", "digitalocean"),
    ] {
        assert_eq!(cloud_of(provider), cloud);
    }
}

#[test]
fn zones_and_written_variants_belong_to_their_region() {
    let map = RegionMap::new([
        region("us-west-2", "aws"),
        region("eu-west-1", "gcp"),
        region("ap-south-1", "azure"),
        region("eastus", "azure"),
        region("us-gov-east-1", "aws"),
        MeshRegion {
            billing_region: Some("us-sanjose-1".into()),
            ..region("bay", "oci")
        },
    ]);

    for (provider, name, expected) in [
        ("AWS", "us-west-2", Some("us-west-2")),
        ("AWS", "us-west-2a", Some("us-west-2")),
        ("AWS", "us-west-2-lax-1a", Some("us-west-2")),
        ("AWS", "us-gov-east-1b", Some("us-gov-east-1")),
        ("AWS", "us-west-1", None),
        ("AWS", "global", None),
        ("Google Cloud", "europe-west1-b", Some("eu-west-1")),
        ("Google Cloud", "europe-west10", None),
        ("Google Cloud", "eu", None),
        ("Microsoft", "Central India", Some("ap-south-1")),
        ("Microsoft", "CentralIndia", Some("ap-south-1")),
        ("Microsoft", "centralindia-1", Some("ap-south-1")),
        ("Microsoft", "East US", Some("eastus")),
        ("Microsoft", "East US 2", None),
        ("Oracle", "fjrQ:US-SANJOSE-1-AD-1", Some("bay")),
        ("AWS", "", None),
        ("AWS", "NULL", None),
    ] {
        assert_eq!(
            map.mesh_region_of(provider, name),
            expected,
            "{provider} {name}"
        );
    }

    assert!(map.problems().is_empty());
}

#[test]
fn regions_that_bills_cannot_distinguish_are_problems_and_get_no_cost() {
    let map = RegionMap::new([
        region("us-west-2", "aws"),
        region("blue", "aws"),
        MeshRegion {
            billing_region: Some("us-west-2".into()),
            ..region("second", "aws")
        },
    ]);

    assert_eq!(map.mesh_region_of("AWS", "us-west-2"), None);
    assert_eq!(
        map.billing_of("second").unwrap().to_string(),
        "aws:us-west-2"
    );

    assert_eq!(
        map.problems(),
        [
            RegionProblem::Unresolved {
                region: "blue".into(),
                cloud: "aws".into()
            },
            RegionProblem::Shared {
                at: "aws:us-west-2".parse().unwrap(),
                regions: vec!["second".into(), "us-west-2".into()]
            },
        ]
    );
}
