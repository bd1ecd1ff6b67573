#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn read(rates: &[f64]) -> Vec<f64> {
    let rows = rates
        .iter()
        .enumerate()
        .map(|(index, rate)| format!("{},{rate},5,5\n", index * 600));
    let text = format!(
        "seconds,m_mid_rps,m_large_rps,m_small_rps\n{}",
        rows.collect::<String>()
    );

    Load::read("load.csv", &text)
        .unwrap()
        .bins
        .iter()
        .map(|bin| bin[1])
        .collect()
}

#[test]
fn gaps_and_their_edges_become_straight_lines() {
    let filled = read(&[0.0, 100.0, 0.0, 0.0, 1.0, 180.0, 100.0, 0.0]);
    assert_eq!(
        filled,
        [100.0, 100.0, 120.0, 140.0, 160.0, 180.0, 100.0, 100.0]
    );
}

#[test]
fn a_bad_row_is_named() {
    let text = "seconds,m_large_rps,m_mid_rps,m_small_rps\n0,1,1,1\n600,1,x,1\n";
    let error = Load::read("load.csv", text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "load.csv, line 3: \"x\" is not a number from 0 to 1000000000"
    );

    let text = "seconds,m_large_rps,m_mid_rps,m_small_rps\n0,1,1,1\n1200,1,1,1\n";
    assert!(
        Load::read("load.csv", text)
            .unwrap_err()
            .to_string()
            .contains("expected 600")
    );
}
