#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_read_sees_the_file_as_it_is(
        reads in proptest::collection::vec((0usize..400_000, 0usize..200_000), 1..20),
        end in 0u64..500_000,
    ) {
        let file: Vec<u8> = (0..400_000u32).map(|at| (at ^ at >> 7) as u8).collect();
        let window = Window::new(Arc::new(Bytes::from(file.clone())), end.min(400_000));
        for (start, length) in reads {
            let length = length.min(file.len() - start);
            prop_assert_eq!(
                &window.get_bytes(start as u64, length).unwrap()[..],
                &file[start..start + length]
            );

            let mut read = vec![0; length];
            window
                .get_read(start as u64)
                .unwrap()
                .read_exact(&mut read)
                .unwrap();

            prop_assert_eq!(&read[..], &file[start..start + length]);
        }

        prop_assert!(window.get_bytes(399_999, 2).is_err());
    }
}
