//! A small real model to test a mesh with: the iris classifier, generated as ONNX.
//!
//! Multinomial logistic regression on Fisher's iris data (Fisher 1936) with scikit-learn's default
//! settings: four measurements in centimetres in, the probabilities of setosa, versicolor and
//! virginica out. `up --demo` publishes it where no model is given, and checks the mesh's answers
//! against [`iris_probabilities`].

use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// Features by classes: sepal length, sepal width, petal length, petal width.
const WEIGHTS: [[f32; 3]; 4] = [
    [-0.42345, 0.53455, -0.1111],
    [0.96739, -0.32157, -0.64582],
    [-2.51718, -0.20635, 2.72353],
    [-1.07939, -0.94425, 2.02364],
];
const BIAS: [f32; 3] = [9.8539, 2.237, -12.0909];

/// The expected answer for one flower, computed in plain arithmetic.
pub fn iris_probabilities(measurements: [f32; 4]) -> [f32; 3] {
    let score = |class: usize| {
        BIAS[class]
            + (0..4)
                .map(|i| measurements[i] * WEIGHTS[i][class])
                .sum::<f32>()
    };
    let exponentials = [0, 1, 2].map(|class| score(class).exp());

    exponentials.map(|value| value / exponentials.iter().sum::<f32>())
}

/// The model as ONNX bytes: input `measurements` FP32 `[batch, 4]`, output `probabilities` FP32
/// `[batch, 3]`.
pub fn iris_onnx() -> Vec<u8> {
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op.into(),
        ..NodeProto::default()
    };

    let graph = GraphProto {
        name: "iris".into(),
        node: vec![
            node("MatMul", &["measurements", "weights"], "products"),
            node("Add", &["products", "bias"], "scores"),
            node("Softmax", &["scores"], "probabilities"),
        ],
        initializer: vec![
            tensor("weights", &[4, 3], WEIGHTS.as_flattened()),
            tensor("bias", &[3], &BIAS),
        ],
        input: vec![batch_of("measurements", 4)],
        output: vec![batch_of("probabilities", 3)],
        ..GraphProto::default()
    };

    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 13,
        }],
        producer_name: "regionmesh".into(),
        graph: Some(graph),
        ..ModelProto::default()
    }
    .encode_to_vec()
}

fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn batch_of(name: &str, width: i64) -> ValueInfoProto {
    let dimension = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let shape = TensorShapeProto {
        dim: vec![
            dimension(dimension::Value::DimParam("batch".into())),
            dimension(dimension::Value::DimValue(width)),
        ],
    };

    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(shape),
    };

    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_samples_are_classified_correctly() {
        // Rows 1, 51 and 101 of the data set.
        for (class, flower) in [
            [5.1, 3.5, 1.4, 0.2],
            [7.0, 3.2, 4.7, 1.4],
            [6.3, 3.3, 6.0, 2.5],
        ]
        .into_iter()
        .enumerate()
        {
            assert!(iris_probabilities(flower)[class] > 0.5, "{flower:?}");
        }
    }
}
