//! Converts a plan's basis points to Route 53's weights, 0 to 255. Pure.

/// The largest weight that Route 53 takes.
pub(crate) const WEIGHT_MAX: u8 = 255;

/// Weights in proportion to shares, in their order: the largest share gets 255, and a share that is
/// not 0 never gets 0.
///
/// Rounding error: a weight is off by at most 0.5/255 of the largest share, so 1 % of a full share
/// becomes 3/255; shares below 1/510 of the largest are rounded up to 1/255.
pub(crate) fn weights(shares_bp: &[u16]) -> Vec<u8> {
    let largest = shares_bp.iter().copied().max().unwrap_or(0);
    let weight = |share: u16| {
        if share == 0 {
            return 0;
        }

        let share = u32::from(share);
        let largest = u32::from(largest);
        let full = u32::from(WEIGHT_MAX);
        let rounded = (share * full + largest / 2) / largest;

        // `share` is at most `largest`, so this fits.
        u8::try_from(rounded.max(1)).unwrap_or(WEIGHT_MAX)
    };

    shares_bp.iter().copied().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn weights_preserve_zero_order_and_proportion(
            shares in prop::collection::vec(0..=10_000u16, 1..40),
        ) {
            let weights = weights(&shares);
            let largest = f64::from(*shares.iter().max().unwrap_or(&0));
            prop_assert_eq!(weights.len(), shares.len());
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert_eq!(*share == 0, *weight == 0);
                if *share > 0 {
                    let off = (f64::from(*weight) / 255.0 - f64::from(*share) / largest).abs();
                    prop_assert!(
                        off <= 0.5 / 255.0 + 1e-9 || *weight == 1,
                        "{} became {}",
                        share,
                        weight
                    );
                }
            }

            for (one, two) in
                (0..shares.len()).flat_map(|one| (0..shares.len()).map(move |two| (one, two)))
            {
                prop_assert!(shares[one] > shares[two] || weights[one] <= weights[two]);
            }
        }
    }

    #[test]
    fn a_ramp_starts_with_a_small_weight_and_ends_with_the_full_one() {
        assert_eq!(weights(&[10_000, 10_000, 100]), [255, 255, 3]);
        assert_eq!(weights(&[10_000, 10_000, 5_000]), [255, 255, 128]);
        assert_eq!(weights(&[10_000, 0, 0]), [255, 0, 0]);
        assert_eq!(weights(&[1, 10_000]), [1, 255]);
        assert_eq!(weights(&[]), Vec::<u8>::new());
    }
}
