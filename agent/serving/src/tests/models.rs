//! Small ONNX models, written with tract's own protobuf types.

use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// A dimension that a request may choose.
pub(crate) const OPEN: i64 = -1;

pub(crate) fn value(name: &str, r#type: DataType, shape: &[i64]) -> ValueInfoProto {
    let dim = |length: &i64| Dimension {
        denotation: String::new(),
        value: Some(match length {
            &OPEN => dimension::Value::DimParam("batch".into()),
            length => dimension::Value::DimValue(*length),
        }),
    };
    let shape = TensorShapeProto {
        dim: shape.iter().map(dim).collect(),
    };

    let tensor = type_proto::Tensor {
        elem_type: r#type as i32,
        shape: Some(shape),
    };
    let r#type = TypeProto {
        denotation: String::new(),
        value: Some(type_proto::Value::TensorType(tensor)),
    };

    ValueInfoProto {
        name: name.into(),
        r#type: Some(r#type),
        doc_string: String::new(),
    }
}

pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        name: format!("{op}-{output}"),
        op_type: op.into(),
        ..NodeProto::default()
    }
}

pub(crate) fn proto(
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
) -> ModelProto {
    let graph = GraphProto {
        node,
        name: "g".into(),
        initializer,
        input: inputs,
        output: outputs,
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
}

/// `y = x + constant`, FP32, shape [batch, 2].
pub(crate) fn add(constant: f32) -> Vec<u8> {
    let mut bytes = add_proto(constant).encode_to_vec();
    bytes.shrink_to_fit();
    bytes
}

pub(crate) fn add_proto(constant: f32) -> ModelProto {
    let initializer = TensorProto {
        name: "c".into(),
        dims: vec![1],
        data_type: DataType::Float as i32,
        float_data: vec![constant],
        ..TensorProto::default()
    };
    let x = value("x", DataType::Float, &[OPEN, 2]);
    let y = value("y", DataType::Float, &[OPEN, 2]);

    proto(
        vec![x],
        vec![y],
        vec![node("Add", &["x", "c"], "y")],
        vec![initializer],
    )
}

/// `quotient = a / b`, INT64, shape [2]; tract panics where `b` holds 0.
pub(crate) fn divide() -> Vec<u8> {
    let value = |name| value(name, DataType::Int64, &[2]);
    proto(
        vec![value("a"), value("b")],
        vec![value("quotient")],
        vec![node("Div", &["a", "b"], "quotient")],
        vec![],
    )
    .encode_to_vec()
}

/// `not = !flag` for BOOL [batch], `same = byte` for UINT8 scalars: two inputs and outputs of
/// different types.
pub(crate) fn mixed() -> Vec<u8> {
    let flags = |name| value(name, DataType::Bool, &[OPEN]);
    let byte = |name| value(name, DataType::Uint8, &[]);
    let nodes = vec![
        node("Not", &["flag"], "not"),
        node("Identity", &["byte"], "same"),
    ];

    proto(
        vec![flags("flag"), byte("byte")],
        vec![flags("not"), byte("same")],
        nodes,
        vec![],
    )
    .encode_to_vec()
}

/// A model with an operator that no engine has.
pub(crate) fn unknown_operator() -> Vec<u8> {
    let value = |name| value(name, DataType::Float, &[2]);
    proto(
        vec![value("x")],
        vec![value("y")],
        vec![node("Frobnicate", &["x"], "y")],
        vec![],
    )
    .encode_to_vec()
}

/// A model whose output nothing makes; tract panics over it.
pub(crate) fn missing_output() -> Vec<u8> {
    let value = |name| value(name, DataType::Float, &[2]);
    proto(
        vec![value("x")],
        vec![value("nowhere")],
        vec![node("Identity", &["x"], "y")],
        vec![],
    )
    .encode_to_vec()
}
