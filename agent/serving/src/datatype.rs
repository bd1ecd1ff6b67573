//! The element types of the Open Inference Protocol, and what they are called in ONNX and in tract.

use serde::Serialize;
use tract_onnx::{pb::tensor_proto::DataType, prelude::DatumType};

/// An element type, by the protocol's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub(crate) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

use Datatype::*;

/// Protocol name, type, ONNX type. BF16 is missing: tract has no such type.
const NAMES: [(&str, Datatype, DataType); 13] = [
    ("BOOL", Bool, DataType::Bool),
    ("UINT8", Uint8, DataType::Uint8),
    ("UINT16", Uint16, DataType::Uint16),
    ("UINT32", Uint32, DataType::Uint32),
    ("UINT64", Uint64, DataType::Uint64),
    ("INT8", Int8, DataType::Int8),
    ("INT16", Int16, DataType::Int16),
    ("INT32", Int32, DataType::Int32),
    ("INT64", Int64, DataType::Int64),
    ("FP16", Fp16, DataType::Float16),
    ("FP32", Fp32, DataType::Float),
    ("FP64", Fp64, DataType::Double),
    ("BYTES", Bytes, DataType::String),
];

impl Datatype {
    /// The protocol's name.
    pub(crate) fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, datatype, _)| *datatype == self)
            .map_or("", |(name, ..)| name)
    }

    /// From an ONNX `TensorProto.DataType`, if the protocol and tract have such a type.
    pub(crate) fn from_onnx(number: i32) -> Option<Self> {
        let onnx = DataType::try_from(number).ok()?;
        NAMES
            .iter()
            .find(|(.., candidate)| *candidate == onnx)
            .map(|(_, datatype, _)| *datatype)
    }

    /// What tract calls it.
    pub(crate) fn tract(self) -> DatumType {
        match self {
            Bool => DatumType::Bool,
            Uint8 => DatumType::U8,
            Uint16 => DatumType::U16,
            Uint32 => DatumType::U32,
            Uint64 => DatumType::U64,
            Int8 => DatumType::I8,
            Int16 => DatumType::I16,
            Int32 => DatumType::I32,
            Int64 => DatumType::I64,
            Fp16 => DatumType::F16,
            Fp32 => DatumType::F32,
            Fp64 => DatumType::F64,
            Bytes => DatumType::String,
        }
    }
}

impl std::fmt::Display for Datatype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_type_maps_between_protocol_onnx_and_tract() {
        for (name, datatype, onnx) in NAMES {
            assert_eq!(
                (datatype.name(), Datatype::from_onnx(onnx as i32)),
                (name, Some(datatype))
            );

            assert_eq!(serde_json::to_value(datatype).unwrap(), name);
            assert_eq!(DatumType::try_from(onnx).unwrap(), datatype.tract());
        }
    }
}
