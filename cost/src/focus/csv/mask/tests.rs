use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn both_implementations_find_the_separators_outside_quotes(
        picks in proptest::collection::vec(0usize..8, BLOCK * 3),
        other: u8,
    ) {
        let bytes = [
            b'"',
            b',',
            b'\n',
            other,
            other.wrapping_add(1),
            b'#',
            b'-',
            b'\x0b',
        ];

        let text: Vec<u8> = picks.iter().map(|pick| bytes[*pick]).collect();
        let (blocks, _) = text.as_chunks::<BLOCK>();
        let mut is_quoted = false;
        let mut marks = Vec::new();
        let mut ends = Vec::new();
        let mut line_feeds = 0;

        for (place, byte) in text.iter().enumerate() {
            is_quoted ^= *byte == b'"';
            line_feeds += u32::from(*byte == b'\n');
            if !is_quoted && matches!(byte, b',' | b'\n') {
                marks.push(place as u32 + 7);
                if *byte == b'\n' {
                    ends.push((marks.len() as u32, line_feeds));
                }
            }
        }

        let mut plain = Found {
            places: vec![0; BLOCK * 4],
            ..Found::default()
        };

        for (index, block) in blocks.iter().enumerate() {
            let found = masks(block);
            plain.add(found, parity(found.quotes), 7 + index * BLOCK);
        }

        let mut fast = Found::default();
        fast.scan(blocks, 7);
        for found in [plain, fast] {
            prop_assert_eq!(found.marks(), &marks);
            let found_ends: Vec<_> = found
                .ends
                .iter()
                .map(|end| (end.marks, end.line_feeds))
                .collect();

            prop_assert_eq!(found_ends, ends.clone());
            prop_assert_eq!(
                (found.line_feeds, found.quoted != 0),
                (line_feeds, is_quoted)
            );
        }
    }
}
