use super::*;
use proptest::prelude::*;
use regionmesh_protocol::{
    identity::RegionName,
    register::{
        certificate::{Acceptance, AgentSignature},
        members::Incarnation,
    },
};
use std::collections::BTreeMap;

const HOUR_MS: u64 = 3_600_000;

/// Reads chains of one certificate that consists of two numbers: begin and end.
struct Dates;

impl Verifier for Dates {
    fn check_chain(&self, _: &AgentId, _: &[Vec<u8>]) -> Result<(), String> {
        Ok(())
    }
    fn check_signature(&self, _: &[Vec<u8>], _: &[u8], _: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn validity_ms(&self, chain: &[Vec<u8>]) -> Option<(u64, u64)> {
        let (from, until) = chain.first()?.split_first_chunk::<8>()?;
        let until = until.first_chunk::<8>()?;
        Some((u64::from_be_bytes(*from), u64::from_be_bytes(*until)))
    }
}

fn chain(from_ms: u64, until_ms: u64) -> Vec<Vec<u8>> {
    vec![[from_ms.to_be_bytes(), until_ms.to_be_bytes()].concat()]
}

struct Board(BTreeMap<AgentId, Vec<Vec<u8>>>);

impl Presented for Board {
    fn chain(&self, agent: &AgentId) -> Option<&[Vec<u8>]> {
        self.0.get(agent).map(Vec::as_slice)
    }
}

fn agent(region: usize) -> AgentId {
    let region: RegionName = format!("r{region}").parse().unwrap();
    format!("{region}/a").parse().unwrap()
}

fn certificate(validities: &[(u64, u64)]) -> Certificate {
    let acceptances = validities
        .iter()
        .enumerate()
        .map(|(region, (from, until))| Acceptance {
            incarnation: Incarnation(1),
            signed: AgentSignature {
                agent: agent(region),
                chain: chain(*from, *until),
                signature: Vec::new(),
            },
        });
    acceptances.collect()
}

#[test]
fn a_plan_is_committed_again_once_a_third_of_some_validity_is_left() {
    let empty_board = Board(BTreeMap::new());
    let certificate = certificate(&[(0, 9 * HOUR_MS), (0, 3 * HOUR_MS)]);
    let mut renewal = Renewal::default();
    let mut is_due = |now_ms| renewal.is_due(&certificate, &empty_board, &Dates, now_ms);

    assert!(!is_due(HOUR_MS));
    assert!(!is_due(2 * HOUR_MS - 1_000), "more than a third is left");
    assert!(is_due(2 * HOUR_MS + 20_000));
}

#[test]
fn without_new_certificates_renewals_become_rarer_in_number_not_endless() {
    let empty_board = Board(BTreeMap::new());
    let certificate = certificate(&[(0, 3 * HOUR_MS)]);
    let mut renewal = Renewal::default();
    let count = (0..3 * HOUR_MS)
        .step_by(1_000)
        .filter(|now_ms| renewal.is_due(&certificate, &empty_board, &Dates, *now_ms))
        .count();

    assert!((2..12).contains(&count), "{count}");
}

#[test]
fn a_plan_is_committed_again_when_a_signer_presents_a_newer_certificate() {
    let certificate = certificate(&[(0, 9 * HOUR_MS), (0, 9 * HOUR_MS)]);
    let presents = |region, from_ms| {
        let chain = chain(from_ms, from_ms + 9 * HOUR_MS);
        Board([(agent(region), chain)].into())
    };
    let is_due = |board| Renewal::default().is_due(&certificate, &board, &Dates, HOUR_MS);

    assert!(!is_due(presents(1, 0)), "the same");
    assert!(!is_due(presents(2, HOUR_MS)), "it did not sign");
    assert!(is_due(presents(1, HOUR_MS)));
}

proptest! {
    #[test]
    fn whenever_certificates_are_renewed_in_time_the_plan_is_signed_again_before_they_end(
        lifetime_ms in 10 * 60_000..90 * 24 * HOUR_MS,
        renewed in 0.0..1.0f64,
    ) {
        let renewed_ms = ((lifetime_ms - 60_000) as f64 * renewed) as u64;
        let certificate = certificate(&[(0, lifetime_ms)]);
        let empty_board = Board(BTreeMap::new());
        let mut renewal = Renewal::default();
        let mut now_ms = 0;
        let mut last_ms = None;

        while now_ms < lifetime_ms {
            if renewal.is_due(&certificate, &empty_board, &Dates, now_ms) {
                last_ms = Some(now_ms);
            }
            now_ms += ((lifetime_ms - now_ms) / 50).max(CHECK_EVERY_MS);
        }

        prop_assert!(last_ms >= Some(renewed_ms), "{last_ms:?}");
    }
}
