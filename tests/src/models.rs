//! Models to publish: the iris sample in two versions that answer differently, and bytes without
//! meaning.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_serving::{iris_onnx, iris_probabilities};
use serde_json::{Value, json};

/// The flower of the requests: row 101 of the data set, a virginica.
pub const FLOWER: [f32; 4] = [6.3, 3.3, 6.0, 2.5];
/// Where setosa's bias is in the sample.
const SETOSA_BIAS: f32 = 9.8539;
/// How much more version 2 favours setosa.
const FAVOUR: f32 = 8.0;
/// FP32 in another order of addition.
const TOLERANCE: f64 = 1e-5;

pub fn question() -> Value {
    json!({
        "inputs": [{
            "name": "measurements",
            "datatype": "FP32",
            "shape": [1, 4],
            "data": FLOWER,
        }],
    })
}

/// The sample as it is.
pub fn iris_one() -> Vec<u8> {
    iris_onnx()
}

/// The sample with another bias, so that it answers other numbers.
pub fn iris_two() -> Vec<u8> {
    let mut bytes = iris_onnx();
    let old = SETOSA_BIAS.to_le_bytes();
    let place = bytes
        .windows(4)
        .position(|window| window == old)
        .expect("the sample's bias moved");

    bytes[place..place + 4].copy_from_slice(&(SETOSA_BIAS + FAVOUR).to_le_bytes());
    bytes
}

/// The expected answer of version 1 or 2.
pub fn expected(version: &str) -> [f64; 3] {
    let [setosa, versicolor, virginica] = iris_probabilities(FLOWER).map(f64::from);
    let raised = if version == "2" {
        setosa * f64::from(FAVOUR).exp()
    } else {
        setosa
    };
    let sum = raised + versicolor + virginica;

    [raised / sum, versicolor / sum, virginica / sum]
}

/// Whether an answer is that of `version`.
pub fn is_answer_of(version: &str, numbers: &[f64]) -> bool {
    let expected = expected(version);
    numbers.len() == 3
        && numbers
            .iter()
            .zip(expected)
            .all(|(got, expected)| (got - expected).abs() < TOLERANCE)
}

/// Random bytes, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill(&mut bytes[..]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_versions_answer_differently() {
        assert_ne!(iris_one(), iris_two());
        assert!(is_answer_of("1", &expected("1")) && !is_answer_of("1", &expected("2")));
    }
}
