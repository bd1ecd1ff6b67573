//! The element types of the Open Inference Protocol, and what they are called in ONNX and in tract.

use serde::Serialize;
use strum::{Display, IntoStaticStr};
use tract_onnx::{pb::tensor_proto::DataType, prelude::DatumType};

/// An element type, by the protocol's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Display, IntoStaticStr)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
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

/// The ONNX type of each. BF16 is missing: tract has no such type.
const ONNX_TYPES: [(Datatype, DataType); 13] = [
    (Bool, DataType::Bool),
    (Uint8, DataType::Uint8),
    (Uint16, DataType::Uint16),
    (Uint32, DataType::Uint32),
    (Uint64, DataType::Uint64),
    (Int8, DataType::Int8),
    (Int16, DataType::Int16),
    (Int32, DataType::Int32),
    (Int64, DataType::Int64),
    (Fp16, DataType::Float16),
    (Fp32, DataType::Float),
    (Fp64, DataType::Double),
    (Bytes, DataType::String),
];

impl Datatype {
    /// The protocol's name.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// From an ONNX `TensorProto.DataType`, if the protocol and tract have such a type.
    pub(crate) fn from_onnx(number: i32) -> Option<Self> {
        let onnx = DataType::try_from(number).ok()?;
        let known = ONNX_TYPES.iter().find(|(_, known)| *known == onnx);
        known.map(|(datatype, _)| *datatype)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_type_maps_between_protocol_onnx_and_tract() {
        for (datatype, onnx) in ONNX_TYPES {
            assert_eq!(Datatype::from_onnx(onnx as i32), Some(datatype));
            assert_eq!(serde_json::to_value(datatype).unwrap(), datatype.name());
            assert_eq!(DatumType::try_from(onnx).unwrap(), datatype.tract());
        }
    }
}
