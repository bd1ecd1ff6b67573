//! Reads the ONNX file before any plan is made.

use super::error::{EngineError, guarded};
use crate::{datatype::Datatype, tensors::TensorSpec};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
};
use tract_onnx::{
    Onnx,
    pb::{
        GraphProto, ModelProto, TensorProto, ValueInfoProto, tensor_proto, tensor_shape_proto,
        type_proto,
    },
    prelude::*,
    tract_hir::ops::unimpl::UnimplementedOp,
};

pub(super) fn onnx() -> Onnx {
    tract_onnx::onnx().with_ignore_value_info(true)
}

pub(super) fn model_error(what: &str, error: impl std::fmt::Display) -> EngineError {
    EngineError::Model(format!("{what}: {error:#}"))
}

/// Reads the ONNX container.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto, EngineError> {
    guarded(|| {
        let decoded = onnx().proto_model_for_read(&mut Cursor::new(bytes));
        let proto = decoded.map_err(|error| model_error("not an ONNX file", error))?;
        if proto.graph.is_none() {
            return Err(EngineError::Model(
                "not an ONNX file: it has no graph".into(),
            ));
        }

        Ok(proto)
    })
}

fn external_tensors(graph: &mut GraphProto) -> impl Iterator<Item = &mut TensorProto> {
    let external = Some(tensor_proto::DataLocation::External as i32);
    graph
        .initializer
        .iter_mut()
        .filter(move |tensor| tensor.data_location == external)
}

fn external_field<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor
        .external_data
        .iter()
        .find(|entry| entry.key == key)
        .map(|entry| entry.value.as_str())
}

/// Files next to the model that hold weights (ONNX "external data"), as paths below the version's
/// folder.
pub(crate) fn external_files(proto: &mut ModelProto) -> BTreeSet<String> {
    let tensors = proto.graph.iter_mut().flat_map(external_tensors);
    tensors
        .filter_map(|tensor| external_field(tensor, "location").map(str::to_owned))
        .collect()
}

/// Puts external data into the model, so that nothing reads the file system later.
pub(crate) fn inline_external(
    proto: &mut ModelProto,
    files: &BTreeMap<String, bytes::Bytes>,
) -> Result<(), EngineError> {
    for tensor in proto.graph.iter_mut().flat_map(external_tensors) {
        let number = |key: &str| {
            external_field(tensor, key)
                .map(str::parse::<usize>)
                .transpose()
        };
        let file = external_field(tensor, "location").and_then(|location| files.get(location));
        let bytes = file
            .zip(number("offset").ok())
            .zip(number("length").ok())
            .and_then(|((file, offset), length)| {
                let offset = offset.unwrap_or(0);
                let end = length.map_or(Some(file.len()), |length| offset.checked_add(length))?;
                file.get(offset..end)
            });

        let Some(bytes) = bytes else {
            return Err(EngineError::Model(format!(
                "weight {:?} lies outside its external file",
                tensor.name
            )));
        };

        tensor.raw_data = bytes.to_vec();
        tensor.data_location = None;
        tensor.external_data.clear();
    }

    Ok(())
}

pub(super) fn spec(value: &ValueInfoProto, kind: &str) -> Result<TensorSpec, EngineError> {
    let name = &value.name;
    let tensor = match value
        .r#type
        .as_ref()
        .and_then(|r#type| r#type.value.as_ref())
    {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        None => {
            return Err(EngineError::Model(format!(
                "{kind} {name:?} is not a tensor"
            )));
        }
    };

    let datatype = Datatype::from_onnx(tensor.elem_type).ok_or_else(|| {
        let number = tensor.elem_type;
        EngineError::Model(format!(
            "{kind} {name:?} has ONNX element type {number}, which can't be served"
        ))
    })?;

    let shape = match (&tensor.shape, kind) {
        (Some(shape), _) => shape.dim.iter().map(|dim| match dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(length)) if length >= 0 => length,
            _ => -1,
        }),
        // Only the model could check an input of unknown rank.
        (None, "input") => {
            return Err(EngineError::Model(format!(
                "input {name:?} has no declared rank"
            )));
        }
        (None, _) => {
            return Ok(TensorSpec {
                name: name.clone(),
                datatype,
                shape: vec![-1],
            });
        }
    };

    Ok(TensorSpec {
        name: name.clone(),
        datatype,
        shape: shape.collect(),
    })
}

/// Checks before any plan is made: the inputs are as declared, and tract has all operators.
pub(super) fn check_graph(
    graph: &InferenceModel,
    unresolved: &[String],
    inputs: &[TensorSpec],
    outputs: usize,
) -> Result<(), EngineError> {
    if !unresolved.is_empty() {
        return Err(EngineError::Model(format!(
            "the graph uses tensors that nothing makes: {unresolved:?}"
        )));
    }

    let missing = graph
        .nodes()
        .iter()
        .filter(|node| node.op_is::<UnimplementedOp>());
    let missing: BTreeSet<String> = missing.map(|node| node.op().name().into_owned()).collect();

    if !missing.is_empty() {
        return Err(EngineError::Model(format!(
            "the graph has operators that tract lacks: {missing:?}"
        )));
    }

    let found = graph
        .input_outlets()
        .map_err(|error| model_error("tract can't read the graph", error))?;
    let found: Vec<&str> = found
        .iter()
        .map(|outlet| graph.node(outlet.node).name.as_str())
        .collect();
    let output_count = graph.output_outlets().map_or(0, <[_]>::len);

    if !found.iter().eq(&inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect::<Vec<_>>())
        || output_count != outputs
    {
        return Err(EngineError::Model(format!(
            "tract finds other inputs or outputs than the file declares: {found:?}"
        )));
    }

    Ok(())
}
