#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

/// Runs, each of equal numbers or of groups of eight.
fn written(runs: &[(bool, Vec<u32>)], width: u8) -> (Vec<u8>, Vec<u32>) {
    let mut bytes = Vec::new();
    let mut numbers = Vec::new();
    let mask = ((1u64 << width) - 1) as u32;
    let header = |bytes: &mut Vec<u8>, mut header: usize| {
        while header > 0x7f {
            bytes.push(header as u8 | 0x80);
            header >>= 7;
        }
        bytes.push(header as u8);
    };

    for (is_equal, values) in runs {
        if *is_equal {
            let count = values.len() * 37;
            header(&mut bytes, count << 1);
            bytes.extend_from_slice(
                &(values[0] & mask).to_le_bytes()[..usize::from(width).div_ceil(8)],
            );
            numbers.extend(std::iter::repeat_n(values[0] & mask, count));
            continue;
        }

        header(&mut bytes, values.len() << 1 | 1);
        let packed: Vec<u32> = values
            .iter()
            .flat_map(|value| (0..8).map(move |by| value.rotate_left(by) & mask))
            .collect();
        let bits = packed
            .iter()
            .flat_map(|number| (0..width).map(move |bit| number >> bit & 1));
        let bits: Vec<u32> = bits.collect();

        bytes.extend(bits.chunks(8).map(|bits| {
            bits.iter()
                .rev()
                .fold(0, |byte, bit| byte << 1 | *bit as u8)
        }));

        numbers.extend(packed);
    }

    (bytes, numbers)
}

proptest! {
    #[test]
    fn numbers_come_back_as_they_were_written(
        runs in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u32>(), 1..90)),
            1..6,
        ),
        width in 0u8..=32,
        step in 1usize..400,
    ) {
        let (bytes, numbers) = written(&runs, width);
        let mut hybrid = Hybrid::new(bytes.into(), width).unwrap();
        let mut found = Vec::new();

        while let Some(run) = hybrid.take(step) {
            match run {
                Run::Equal { value, count } => found.extend(std::iter::repeat_n(value, count)),
                Run::Packed { bit, count } => {
                    let mut out = vec![0; count];
                    hybrid.unpack(bit, &mut out);
                    found.extend(out);
                }
            }
        }

        prop_assert_eq!(found, numbers);
    }

    #[test]
    fn lookups_stay_within_the_table(
        runs in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u32>(), 1..90)),
            1..6,
        ),
        width in 0u8..=8,
        missing in 0usize..3,
    ) {
        let (bytes, numbers) = written(&runs, width);
        let table: Vec<u64> = (0..(1u64 << width) - (missing as u64).min(1 << width))
            .map(|code| code * 3 + 1)
            .collect();
        let expected: Option<Vec<u64>> = numbers
            .iter()
            .map(|number| table.get(*number as usize).copied())
            .collect();
        let mut out = vec![0; numbers.len()];
        let outcome = Hybrid::new(bytes.clone().into(), width)
            .unwrap()
            .look_up(&table, &mut out);

        prop_assert_eq!(outcome.map(|()| out), expected);
        let mut longer = vec![0; numbers.len() + 1];
        prop_assert_eq!(
            Hybrid::new(bytes.into(), width)
                .unwrap()
                .look_up(&table, &mut longer),
            None
        );
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, width in 0u8..=40) {
        let Some(mut hybrid) = Hybrid::new(bytes.into(), width) else {
            return Ok(());
        };
        hybrid.look_up(&[1, 2, 3], &mut [0; 1000]);
    }
}

#[test]
fn flags_are_read_from_the_lowest_bit() {
    let mut flags = Hybrid::flags(Bytes::from_static(&[0b0000_0101]));
    assert_eq!(flags.take(3), Some(Run::Packed { bit: 0, count: 3 }));
    let mut out = [0; 3];
    flags.unpack(0, &mut out);
    assert_eq!(out, [1, 0, 1]);
}
