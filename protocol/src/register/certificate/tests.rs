use super::*;
use crate::codec;
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeSet;

fn acceptance(region: u8, chain: Vec<u8>, signature: u8) -> Acceptance {
    Acceptance {
        incarnation: Incarnation(u64::from(region)),
        signed: AgentSignature {
            agent: format!("r{region}/a").parse().unwrap(),
            chain: chain.into_iter().map(|der| vec![der; 3]).collect(),
            signature: vec![signature; 8],
        },
    }
}

proptest! {
    #[test]
    fn a_certificate_keeps_one_acceptance_per_region_and_each_x509_certificate_once(
        given in vec((0..6u8, vec(0..9u8, 0..4), any::<u8>()), 0..12),
    ) {
        let given: Vec<_> = given
            .into_iter()
            .map(|(region, chain, signature)| acceptance(region, chain, signature))
            .collect();
        let last: BTreeMap<_, _> = given
            .iter()
            .map(|acceptance| (acceptance.region().clone(), acceptance.clone()))
            .collect();

        let certificate: Certificate = given.into_iter().collect();
        let kept: Vec<_> = certificate.acceptances().collect();

        prop_assert_eq!(&kept, &last.into_values().collect::<Vec<_>>());
        let distinct: BTreeSet<_> = certificate.x509.iter().collect();
        prop_assert_eq!(distinct.len(), certificate.x509.len());

        let bytes = codec::encode(&certificate).unwrap();
        prop_assert_eq!(codec::decode::<Certificate>(&bytes).unwrap(), certificate);
    }
}

#[test]
fn a_chain_that_refers_to_missing_certificates_is_cut() {
    let mut certificate: Certificate = [acceptance(1, vec![1, 2], 3)].into_iter().collect();
    certificate.x509.clear();

    let kept = certificate.acceptances().next().unwrap();
    assert!(kept.signed.chain.is_empty());
}
