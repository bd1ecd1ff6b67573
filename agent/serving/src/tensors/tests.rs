//! Every element type, and what is refused.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const ALL: [Datatype; 13] = {
    use Datatype::*;
    [
        Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Fp32, Fp64, Bytes,
    ]
};

fn spec(datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec {
        name: "x".into(),
        datatype,
        shape: shape.to_vec(),
    }
}

fn read(spec: &TensorSpec, shape: Value, data: Value) -> Result<Tensor, String> {
    let json = json!({"name": "x", "datatype": spec.datatype, "shape": shape, "data": data});
    let input: RequestInput =
        serde_json::from_str(&json.to_string()).map_err(|error| error.to_string())?;
    read_input(input, spec).map_err(|refusal| refusal.message)
}

fn written(spec: &TensorSpec, tensor: Tensor) -> Value {
    serde_json::to_value(OutputTensor::new(spec, tensor).unwrap()).unwrap()["data"].clone()
}

fn largest(datatype: Datatype) -> Value {
    match datatype {
        Datatype::Bool => json!(true),
        Datatype::Uint8 => json!(u8::MAX),
        Datatype::Uint16 => json!(u16::MAX),
        Datatype::Uint32 => json!(u32::MAX),
        Datatype::Uint64 => json!(u64::MAX),
        Datatype::Int8 => json!(i8::MIN),
        Datatype::Int16 => json!(i16::MIN),
        Datatype::Int32 => json!(i32::MIN),
        Datatype::Int64 => json!(i64::MIN),
        Datatype::Fp16 => json!(65504.0),
        Datatype::Fp32 => json!(16777216.0),
        Datatype::Fp64 => json!(f64::MAX),
        Datatype::Bytes => json!("é\u{0}"),
    }
}

#[test]
fn every_type_round_trips_its_extreme_value() {
    for datatype in ALL {
        let spec = spec(datatype, &[-1]);
        let tensor = read(&spec, json!([1]), json!([largest(datatype)])).unwrap();
        assert_eq!(
            written(&spec, tensor),
            json!([largest(datatype)]),
            "{datatype}"
        );
    }
}

proptest! {
    #[test]
    fn representable_numbers_are_read_exactly_and_others_refused(
        value in any::<i64>(),
        small in -400i64..400,
    ) {
        for value in [value, small] {
            let byte = read(&spec(Datatype::Uint8, &[1]), json!([1]), json!([value]));
            prop_assert_eq!(byte.is_ok(), u8::try_from(value).is_ok());

            let word = spec(Datatype::Int64, &[1]);
            prop_assert_eq!(
                written(&word, read(&word, json!([1]), json!([value])).unwrap()),
                json!([value])
            );
        }
    }

    #[test]
    fn any_shape_and_length_gives_a_tensor_or_an_error(
        shape in proptest::collection::vec(any::<i64>(), 0..4),
        n in 0usize..9,
    ) {
        let spec = spec(Datatype::Fp32, &vec![-1; shape.len()]);
        if let Ok(tensor) = read(&spec, json!(shape), json!(vec![0; n])) {
            prop_assert_eq!(tensor.len(), n);
        }
    }
}

#[test]
fn a_scalar_has_the_empty_shape_and_one_element() {
    let spec = spec(Datatype::Int64, &[]);
    assert_eq!(read(&spec, json!([]), json!([16000])).unwrap().rank(), 0);
    assert!(read(&spec, json!([]), json!([1, 2])).is_err());
}

/// Shape, data, and a part of the message.
fn faults() -> [(Value, Value, &'static str); 12] {
    let huge = json!([4611686018427387904u64, 3]);
    [
        (
            json!([3]),
            json!([1, 2, 3]),
            "shape has 1 dimensions, the model expects 2: [-1, 3]",
        ),
        (
            json!([1, 2]),
            json!([1, 2]),
            "dimension 1 of the shape is 2, the model expects 3",
        ),
        (
            json!([-1, 3]),
            json!([1, 2, 3]),
            "dimension 0 of the shape is -1",
        ),
        (json!([0, 3]), json!([]), "dimension 0 of the shape is 0"),
        (
            json!([1.5, 3]),
            json!([1]),
            "dimension 0 of the shape is 1.5",
        ),
        (
            huge,
            json!([1]),
            "dimension 0 of the shape is 4611686018427387904",
        ),
        (
            json!([1099511627776u64, 3]),
            json!([1]),
            "1 elements in data",
        ),
        (
            json!([2, 3]),
            json!([1, 2, 3]),
            "3 elements in data, shape [2, 3] needs 6",
        ),
        (
            json!([2, 3]),
            json!([[1, 2], [3, 4], [5, 6]]),
            "nested as [3, 2], shape is [2, 3]",
        ),
        (json!([1, 3]), json!([1, 2, 1e39]), "element 2 of data is 1"),
        (
            json!([1, 3]),
            json!(["1", "2", "3"]),
            "data holds strings, datatype FP32 needs numbers",
        ),
        (
            json!([1, 3]),
            json!([true, true, true]),
            "data holds booleans",
        ),
    ]
}

#[test]
fn errors_state_what_was_expected() {
    let matrix = spec(Datatype::Fp32, &[-1, 3]);
    for (shape, data, part) in faults() {
        let message = read(&matrix, shape.clone(), data).expect_err("accepted");
        assert!(
            message.contains(part) && message.contains("\"x\""),
            "{shape}: {message}"
        );
    }

    let message =
        read(&spec(Datatype::Int32, &[1]), json!([1]), json!([1.5])).expect_err("accepted");
    assert!(
        message.contains("element 0 of data is 1.5, not a whole number as INT32 needs"),
        "{message}"
    );

    let message =
        read(&spec(Datatype::Uint8, &[1]), json!([1]), json!([300])).expect_err("accepted");
    assert!(
        message.contains("element 0 of data is 300, out of the range of UINT8"),
        "{message}"
    );

    assert!(read(&spec(Datatype::Bool, &[1]), json!([1]), json!([2])).is_err());
    assert!(read(&spec(Datatype::Bytes, &[1]), json!([1]), json!([2])).is_err());
}

#[test]
fn values_that_json_cannot_write_are_null() {
    let spec = spec(Datatype::Fp32, &[3]);
    let tensor = Tensor::from_shape(&[3], &[f32::NAN, f32::NEG_INFINITY, 0.25]).unwrap();
    assert_eq!(written(&spec, tensor), json!([null, null, 0.25]));
}
