use super::*;

#[test]
fn commitments_are_paid_once_and_always() {
    let mut usage = RegionUsage::default();
    usage.add_nodes(5, 2, 3);
    assert_eq!(
        (
            usage.on_demand_minutes,
            usage.committed_minutes,
            usage.spot_minutes,
            usage.minutes
        ),
        (2, 3, 2, 1)
    );

    usage.add_nodes(0, 0, 3);
    assert_eq!(
        (
            usage.on_demand_minutes,
            usage.committed_minutes,
            usage.spot_minutes,
            usage.minutes
        ),
        (2, 6, 2, 1)
    );
}
