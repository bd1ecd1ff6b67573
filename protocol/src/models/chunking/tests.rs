use super::*;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

fn random(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn cut(content: &[u8], piece: usize) -> Cut {
    let mut chunker = Chunker::default();
    content
        .chunks(piece.max(1))
        .for_each(|piece| chunker.push(piece));
    chunker.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_cuts_do_not_depend_on_how_the_bytes_arrive(
        seed: u64,
        size in 0usize..12 << 20, piece in 1usize..3 << 20,
    ) {
        let content = random(seed, size);
        let cut = cut(&content, piece.max(4096));
        prop_assert_eq!(&cut, &self::cut(&content, content.len()));
        prop_assert_eq!(
            cut.chunks
                .iter()
                .map(|chunk| u64::from(chunk.length))
                .sum::<u64>(),
            size as u64
        );

        let mut offset = 0;
        for (index, chunk) in cut.chunks.iter().enumerate() {
            let length = chunk.length as usize;
            prop_assert!(
                length <= CHUNK_MAX && (length >= CHUNK_MIN || index + 1 == cut.chunks.len())
            );
            prop_assert_eq!(Digest::of(&content[offset..offset + length]), chunk.digest);
            offset += length;
        }
    }
}

#[test]
fn an_insertion_changes_few_chunks() {
    let before = random(7, 32 << 20);
    let mut after = before.clone();
    after.splice(10 << 20..10 << 20, random(8, 1000));

    let before = cut(&before, 1 << 20);
    let after = cut(&after, 1 << 20);
    let shared = after
        .chunks
        .iter()
        .filter(|chunk| before.chunks.contains(chunk))
        .count();

    assert!(
        after.chunks.len() - shared <= 3,
        "{shared} of {} chunks are shared",
        after.chunks.len()
    );
}

#[test]
fn an_empty_file_has_no_chunks() {
    assert_eq!(
        cut(&[], 1),
        Cut {
            size: 0,
            digest: Digest::of(&[]),
            chunks: vec![]
        }
    );
}
