use super::*;
use proptest::prelude::*;

fn region(traffic_state: TrafficState, flaps: u32) -> RegionPlan {
    RegionPlan {
        traffic_state,
        flaps,
        ..RegionPlan::default()
    }
}

#[test]
fn the_default_recovery_takes_forty_minutes() {
    let recovery = RecoveryPolicy::default();
    let cooling_down = forecast(
        &region(TrafficState::CoolingDown { since_ms: 1_000 }, 1),
        &recovery,
        5_000,
    );

    assert_eq!(
        cooling_down,
        Some(Forecast {
            ramp_ms: Some(301_000),
            full_ms: 2_401_000
        })
    );

    let last = forecast(
        &region(
            TrafficState::Ramping {
                step: 5,
                since_ms: 0,
            },
            1,
        ),
        &recovery,
        5_000,
    );

    assert_eq!(
        last,
        Some(Forecast {
            ramp_ms: None,
            full_ms: 600_000
        })
    );

    assert_eq!(
        forecast(
            &region(TrafficState::Out { since_ms: 0 }, 1),
            &recovery,
            5_000
        ),
        None
    );
}

proptest! {
    #[test]
    fn every_step_forecasts_the_end_consistently(
        step in 0usize..8,
        since_ms in 0u64..1 << 50, doublings in 0u8..9, ttl_ms in 0u64..1 << 30, flaps in 0u32..80,
    ) {
        let recovery = RecoveryPolicy::default();
        let mut ramping = region(TrafficState::Ramping { step, since_ms }, flaps);
        ramping.hold_doublings = doublings;

        let ramping = forecast(&ramping, &recovery, ttl_ms).map(|forecast| forecast.full_ms);
        let cooling_down = forecast(
            &region(TrafficState::CoolingDown { since_ms }, flaps),
            &recovery,
            ttl_ms,
        );

        prop_assert!(ramping >= Some(since_ms));
        let is_ordered = |forecast: Forecast| {
            forecast.ramp_ms >= Some(since_ms) && Some(forecast.full_ms) >= forecast.ramp_ms
        };
        prop_assert!(cooling_down.is_some_and(is_ordered));
    }
}
