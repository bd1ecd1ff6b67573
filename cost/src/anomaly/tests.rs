#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::Currency;
use time::macros::datetime;

fn anomaly() -> Anomaly {
    let scope = Scope::from([("region".to_owned(), "eu-west-1".to_owned())]);
    let since = datetime!(2026-09-14 00:00 UTC);
    Anomaly {
        id: anomaly_id(Plane::Billed, &scope, Currency::USD, since),
        plane: Plane::Billed,
        kind: AnomalyKind::LevelShift,
        scope,
        since,
        until: None,
        expected_low: "90".parse().unwrap(),
        expected_high: "110.5".parse().unwrap(),
        actual: "300.000000000000001".parse().unwrap(),
        excess: Money {
            amount: "200.000000000000001".parse().unwrap(),
            currency: Currency::USD,
        },
        contributors: vec![Contributor {
            part: "EC2".to_owned(),
            excess: "200.000000000000001".parse().unwrap(),
        }],
    }
}

#[test]
fn json_has_decimal_strings_and_reads_back() {
    for until in [None, Some(datetime!(2026-09-16 00:00 UTC))] {
        let anomaly = Anomaly { until, ..anomaly() };
        let text = serde_json::to_string(&anomaly).unwrap();
        assert!(text.contains(r#""actual":"300.000000000000001""#), "{text}");
        assert!(text.contains(r#""since":"2026-09-14T00:00:00Z""#), "{text}");
        assert!(text.contains(r#""kind":"level-shift""#), "{text}");
        assert_eq!(serde_json::from_str::<Anomaly>(&text).unwrap(), anomaly);
    }
}

#[test]
fn ids_differ_by_plane_scope_currency_and_start() {
    let scope =
        |dimension: &str, value: &str| Scope::from([(dimension.to_owned(), value.to_owned())]);
    let start = datetime!(2026-09-14 00:00 UTC);
    let later = datetime!(2026-09-15 00:00 UTC);
    let euro = Currency::parse(b"EUR").unwrap();
    let ids = [
        anomaly_id(Plane::Billed, &scope("region", "a"), Currency::USD, start),
        anomaly_id(Plane::Live, &scope("region", "a"), Currency::USD, start),
        anomaly_id(Plane::Billed, &scope("service", "a"), Currency::USD, start),
        anomaly_id(Plane::Billed, &scope("region", "b"), Currency::USD, start),
        anomaly_id(Plane::Billed, &scope("region", "a"), euro, start),
        anomaly_id(Plane::Billed, &scope("region", "a"), Currency::USD, later),
        anomaly_id(
            Plane::Billed,
            &scope("region", "a\",zone=\"b"),
            Currency::USD,
            start,
        ),
        anomaly_id(
            Plane::Billed,
            &Scope::from([("region".into(), "a".into()), ("zone".into(), "b".into())]),
            Currency::USD,
            start,
        ),
    ];

    let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
}
