//! Tiny ONNX models, built in memory: a valid one, and some that need too many resources.

use prost::Message;
use serde_json::{Value, json};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// A dimension that a request may choose.
const OPEN: i64 = -1;

fn float_value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = |length: &i64| Dimension {
        value: Some(match length {
            &OPEN => dimension::Value::DimParam("n".into()),
            length => dimension::Value::DimValue(*length),
        }),
        ..Dimension::default()
    };
    let shape = TensorShapeProto {
        dim: shape.iter().map(dim).collect(),
    };

    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(shape),
    };
    let r#type = TypeProto {
        value: Some(type_proto::Value::TensorType(tensor)),
        ..TypeProto::default()
    };

    ValueInfoProto {
        name: name.into(),
        r#type: Some(r#type),
        ..ValueInfoProto::default()
    }
}

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: operator.into(),
        ..NodeProto::default()
    }
}

/// The largest element of `input`, as a scalar `y`.
fn largest(input: &str) -> NodeProto {
    let keepdims = AttributeProto {
        name: "keepdims".into(),
        r#type: AttributeType::Int as i32,
        i: 0,
        ..AttributeProto::default()
    };

    NodeProto {
        attribute: vec![keepdims],
        ..node("ReduceMax", &[input], "y")
    }
}

fn whole_numbers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn model(
    nodes: Vec<NodeProto>,
    input: &[i64],
    output: &[i64],
    constants: Vec<TensorProto>,
) -> Vec<u8> {
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        initializer: constants,
        input: vec![float_value("x", input)],
        output: vec![float_value("y", output)],
        ..GraphProto::default()
    };

    let opset_import = vec![OperatorSetIdProto {
        domain: String::new(),
        version: 13,
    }];

    ModelProto {
        ir_version: 8,
        opset_import,
        graph: Some(graph),
        ..ModelProto::default()
    }
    .encode_to_vec()
}

/// `y = factor * x`, any number of rows of three.
pub fn scaled(factor: f32) -> Vec<u8> {
    let constant = TensorProto {
        name: "f".into(),
        data_type: DataType::Float as i32,
        float_data: vec![factor],
        ..TensorProto::default()
    };

    model(
        vec![node("Mul", &["x", "f"], "y")],
        &[OPEN, 3],
        &[OPEN, 3],
        vec![constant],
    )
}

/// A request of ones to [`scaled`].
pub fn scaled_question() -> Value {
    json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 1, 1] }] })
}

/// Half of a valid model.
pub fn damaged() -> Vec<u8> {
    let good = scaled(2.0);
    good[..good.len() / 2].to_vec()
}

/// Resizes an image of four pixels to `side` times `side`: about 160 bytes that ask for `4 *
/// side²`.
pub fn resized(side: i64) -> Vec<u8> {
    let mode = AttributeProto {
        name: "mode".into(),
        r#type: AttributeType::String as i32,
        s: b"nearest".to_vec(),
        ..AttributeProto::default()
    };

    let resize = NodeProto {
        attribute: vec![mode],
        ..node("Resize", &["x", "", "", "sizes"], "r")
    };

    model(
        vec![resize, largest("r")],
        &[1, 1, 2, 2],
        &[],
        vec![whole_numbers("sizes", &[1, 1, side, side])],
    )
}

/// Grows one number to `shape` by `operator`: `Expand`, or `Tile` for one dimension.
pub fn grown(operator: &str, shape: &[i64]) -> Vec<u8> {
    model(
        vec![node(operator, &["x", "shape"], "e"), largest("e")],
        &[1],
        &[],
        vec![whole_numbers("shape", shape)],
    )
}

/// A constant of `shape`, which the engine would make while it reads the model.
pub fn constant_of(shape: &[i64]) -> Vec<u8> {
    let nodes = vec![
        node("ConstantOfShape", &["shape"], "big"),
        largest_as("big", "s"),
        node("Add", &["x", "s"], "y"),
    ];

    model(nodes, &[1], &[1], vec![whole_numbers("shape", shape)])
}

fn largest_as(input: &str, output: &str) -> NodeProto {
    NodeProto {
        output: vec![output.into()],
        name: output.into(),
        ..largest(input)
    }
}

/// `times` doublings of one number.
pub fn doubled(times: usize) -> Vec<u8> {
    let axis = AttributeProto {
        name: "axis".into(),
        r#type: AttributeType::Int as i32,
        i: 0,
        ..AttributeProto::default()
    };

    let name = |index: usize| {
        if index == 0 {
            "x".to_owned()
        } else {
            format!("x{index}")
        }
    };

    let double = |index: usize| NodeProto {
        attribute: vec![axis.clone()],
        ..node("Concat", &[&name(index), &name(index)], &name(index + 1))
    };
    let nodes = (0..times)
        .map(double)
        .chain([largest(&name(times))])
        .collect();

    model(nodes, &[1], &[], vec![])
}

/// Multiplies matrices of `side` made from one number repeatedly: minutes of computation out
/// of some hundred bytes.
pub fn slow(side: i64, input: &[i64]) -> Vec<u8> {
    let product = |index: usize| {
        node(
            "MatMul",
            &[&format!("m{index}"), &format!("m{index}")],
            &format!("m{}", index + 1),
        )
    };
    let first = node("Expand", &["x", "shape"], "m0");
    let nodes = [first]
        .into_iter()
        .chain((0..40).map(product))
        .chain([largest("m40")])
        .collect();

    model(
        nodes,
        input,
        &[],
        vec![whole_numbers("shape", &[side, side])],
    )
}

/// [`slow`] with dimensions that a request chooses, so that it is loaded though its first inference
/// takes too long.
pub fn slow_inference(side: i64) -> Vec<u8> {
    slow(side, &[OPEN, OPEN])
}

/// [`slow`] of one number, so that it can't be loaded in time.
pub fn slow_loading(side: i64) -> Vec<u8> {
    slow(side, &[1])
}
