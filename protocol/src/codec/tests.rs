use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn encoding_and_decoding_round_trips(value: (u64, String, Vec<Option<i32>>)) {
        let bytes = encode(&value).unwrap();
        prop_assert_eq!(
            decode::<(u64, String, Vec<Option<i32>>)>(&bytes).unwrap(),
            value
        );
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = decode::<(String, Vec<String>, Option<u8>)>(&bytes);
    }
}

#[test]
fn a_hostile_length_prefix_allocates_nothing() {
    let mut bytes = vec![253];
    bytes.extend((1u64 << 60).to_le_bytes());
    assert!(matches!(
        decode::<String>(&bytes),
        Err(CodecError::Malformed(_))
    ));
}

#[test]
fn trailing_bytes_are_refused() {
    assert_eq!(
        decode::<u8>(&[7, 7]),
        Err(CodecError::Trailing { extra: 1 })
    );
}

#[test]
fn an_oversized_value_is_refused_before_it_is_sent() {
    let value = vec![0u8; MESSAGE_LIMIT + 1];
    assert!(matches!(encode(&value), Err(CodecError::TooLarge { .. })));
}

#[test]
fn byte_strings_are_encoded_as_lists_of_bytes_are() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Whole(#[serde(with = "super::bytes")] Vec<u8>);

    let list: Vec<u8> = (0..=255).cycle().take(1_000).collect();
    let encoded = encode(&list).unwrap();
    assert_eq!(encode(&Whole(list.clone())), Ok(encoded.clone()));
    assert_eq!(decode(&encoded), Ok(Whole(list)));
}
