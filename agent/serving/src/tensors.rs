//! Converts tensors between JSON and tract.

use crate::{
    datatype::Datatype,
    refusal::{Refusal, quoted},
    request::{RequestInput, Values},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use tract_onnx::prelude::{
    Datum, Tensor, TractResult, tract_data::prelude::f16, tract_ndarray::ArrayD,
};

/// Name, type and shape of a model's input or output, from its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TensorSpec {
    pub(crate) name: String,
    /// The element type.
    pub(crate) datatype: Datatype,
    /// The shape; -1 for a dimension that a request may choose.
    pub(crate) shape: Vec<i64>,
}

/// Most dimensions that a tensor may have; ONNX models in use have at most 6.
const RANK_MAX: usize = 16;

/// Checks a request's input against the model's and converts it to a tensor.
pub(crate) fn read_input(input: RequestInput, spec: &TensorSpec) -> Result<Tensor, Refusal> {
    let name = quoted(&input.name);
    if input.datatype != spec.datatype.name() {
        let got = quoted(&input.datatype);
        return Err(Refusal::bad_request(format!(
            "input {name}: datatype {got}, the model expects {}",
            spec.datatype
        )));
    }

    let shape = read_shape(&input, spec)?;
    // Bodies are bounded, so the product is only compared with a length that fits.
    let expected = shape
        .iter()
        .try_fold(1usize, |product, dim| product.checked_mul(*dim));
    let Some(elements) = input.data else {
        return Err(Refusal::bad_request(format!(
            "input {name}: no data; tensors are read from the JSON field \"data\", the binary \
                extension is not supported"
        )));
    };

    let got = elements.values.count();
    if expected != Some(got) {
        let expected = expected.map_or("more than a request can hold".into(), |expected| {
            expected.to_string()
        });
        return Err(Refusal::bad_request(format!(
            "input {name}: {got} elements in data, shape {shape:?} needs {expected}"
        )));
    }

    if elements.nesting.len() > 1 && elements.nesting != shape {
        let nesting = &elements.nesting;
        return Err(Refusal::bad_request(format!(
            "input {name}: data is nested as {nesting:?}, shape is {shape:?}"
        )));
    }

    make(&shape, elements.values, spec.datatype)
        .map_err(|fault| Refusal::bad_request(format!("input {name}: {fault}")))
}

fn read_shape(input: &RequestInput, spec: &TensorSpec) -> Result<Vec<usize>, Refusal> {
    let name = quoted(&input.name);
    let fail = |why: String| Err(Refusal::bad_request(format!("input {name}: {why}")));
    if input.shape.len() != spec.shape.len() || input.shape.len() > RANK_MAX {
        let got = input.shape.len();
        let rank = spec.shape.len();
        return fail(format!(
            "shape has {got} dimensions, the model expects {rank}: {:?}",
            spec.shape
        ));
    }

    let mut shape = Vec::with_capacity(input.shape.len());
    for (index, (dim, expected)) in input.shape.iter().zip(&spec.shape).enumerate() {
        // Empty tensors are refused: a zero next to a huge dimension would make a model allocate
        // the latter.
        let Some(value) = dim.as_u64().filter(|dim| (1..=1 << 40).contains(dim)) else {
            return fail(format!(
                "dimension {index} of the shape is {dim}; it must be a whole number from 1"
            ));
        };

        if *expected >= 0 && u64::try_from(*expected) != Ok(value) {
            return fail(format!(
                "dimension {index} of the shape is {value}, the model expects {expected}: {:?}",
                spec.shape
            ));
        }

        shape.push(usize::try_from(value).unwrap_or(usize::MAX));
    }

    Ok(shape)
}

fn make(shape: &[usize], values: Values, datatype: Datatype) -> Result<Tensor, String> {
    match datatype {
        Datatype::Bool => build(shape, bools(values)?),
        Datatype::Uint8 => build::<u8>(shape, whole(values, datatype)?),
        Datatype::Uint16 => build::<u16>(shape, whole(values, datatype)?),
        Datatype::Uint32 => build::<u32>(shape, whole(values, datatype)?),
        Datatype::Uint64 => build::<u64>(shape, whole(values, datatype)?),
        Datatype::Int8 => build::<i8>(shape, whole(values, datatype)?),
        Datatype::Int16 => build::<i16>(shape, whole(values, datatype)?),
        Datatype::Int32 => build::<i32>(shape, whole(values, datatype)?),
        Datatype::Int64 => build::<i64>(shape, whole(values, datatype)?),
        Datatype::Fp16 => build(
            shape,
            real(values, datatype, |value| {
                finite(f16::from_f64(value), f16::is_finite)
            })?,
        ),
        Datatype::Fp32 => build(
            shape,
            real(values, datatype, |value| {
                finite(value as f32, f32::is_finite)
            })?,
        ),
        Datatype::Fp64 => build(
            shape,
            real(values, datatype, |value| finite(value, f64::is_finite))?,
        ),
        Datatype::Bytes => match values {
            Values::Strings(values) => build(shape, values),
            other => Err(format!(
                "data holds {}, datatype BYTES needs strings",
                other.kind()
            )),
        },
    }
}

fn build<T: Datum>(shape: &[usize], values: Vec<T>) -> Result<Tensor, String> {
    // The lengths were compared before; this is the library's own check.
    ArrayD::from_shape_vec(shape.to_vec(), values)
        .map(Tensor::from)
        .map_err(|error| error.to_string())
}

fn bools(values: Values) -> Result<Vec<bool>, String> {
    match values {
        Values::Bools(values) => Ok(values),
        Values::Ints(values) if values.iter().all(|value| (0..=1).contains(value)) => {
            Ok(values.into_iter().map(|value| value == 1).collect())
        }
        Values::Ints(_) => {
            Err("data holds numbers other than 0 and 1, datatype BOOL needs true and false".into())
        }
        other => Err(format!(
            "data holds {}, datatype BOOL needs true and false",
            other.kind()
        )),
    }
}

/// Largest magnitude below which every whole number is exact in an f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn whole<T: TryFrom<i128>>(values: Values, datatype: Datatype) -> Result<Vec<T>, String> {
    let fit = |index: usize, value: i128| {
        T::try_from(value).map_err(|_| {
            format!("element {index} of data is {value}, out of the range of {datatype}")
        })
    };

    match values {
        Values::None => Ok(Vec::new()),
        Values::Ints(values) => values
            .into_iter()
            .enumerate()
            .map(|(i, value)| fit(i, value.into()))
            .collect(),
        Values::Wide(values) => values
            .into_iter()
            .enumerate()
            .map(|(i, value)| fit(i, value))
            .collect(),
        // `1.0` is the whole number 1: clients with arrays of floats write it that way.
        Values::Floats(values) => values
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                if value.fract() != 0.0 || value.abs() > EXACT {
                    return Err(format!(
                        "element {index} of data is {value}, not a whole number as {datatype} needs"
                    ));
                }

                fit(index, value as i128)
            })
            .collect(),
        other => Err(format!(
            "data holds {}, datatype {datatype} needs whole numbers",
            other.kind()
        )),
    }
}

fn finite<T: Copy>(value: T, is_finite: fn(T) -> bool) -> Option<T> {
    is_finite(value).then_some(value)
}

fn real<T>(
    values: Values,
    datatype: Datatype,
    fit: impl Fn(f64) -> Option<T>,
) -> Result<Vec<T>, String> {
    let fit = |index: usize, value: f64| {
        fit(value).ok_or_else(|| {
            format!("element {index} of data is {value}, out of the range of {datatype}")
        })
    };

    match values {
        Values::None => Ok(Vec::new()),
        Values::Ints(values) => values
            .into_iter()
            .enumerate()
            .map(|(i, value)| fit(i, value as f64))
            .collect(),
        Values::Wide(values) => values
            .into_iter()
            .enumerate()
            .map(|(i, value)| fit(i, value as f64))
            .collect(),
        Values::Floats(values) => values
            .into_iter()
            .enumerate()
            .map(|(i, value)| fit(i, value))
            .collect(),
        other => Err(format!(
            "data holds {}, datatype {datatype} needs numbers",
            other.kind()
        )),
    }
}

/// One output tensor in its JSON form: flat data, row-major. Values that JSON can't write (NaN,
/// infinities) are null.
#[derive(Debug, Serialize)]
pub(crate) struct OutputTensor {
    /// Its name in the model.
    pub(crate) name: String,
    /// Its element type.
    pub(crate) datatype: Datatype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: OutputData,
}

/// The elements of an output; written to JSON without a copy.
#[derive(Debug)]
pub(crate) struct OutputData(Tensor);

impl OutputTensor {
    /// Converts an output of the engine; the type is from the model's metadata.
    pub(crate) fn new(spec: &TensorSpec, tensor: Tensor) -> TractResult<Self> {
        let wanted = spec.datatype.tract();
        let tensor = if tensor.datum_type() == wanted {
            tensor
        } else {
            tensor.cast_to_dt(wanted)?.into_owned()
        };
        let shape = tensor.shape().to_vec();

        Ok(Self {
            name: spec.name.clone(),
            datatype: spec.datatype,
            shape,
            data: OutputData(tensor),
        })
    }
}

impl Serialize for OutputData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use tract_onnx::prelude::DatumType as D;

        match self.0.datum_type() {
            D::Bool => elements::<bool, _, _>(&self.0, serializer, |value| *value),
            D::U8 => elements::<u8, _, _>(&self.0, serializer, |value| *value),
            D::U16 => elements::<u16, _, _>(&self.0, serializer, |value| *value),
            D::U32 => elements::<u32, _, _>(&self.0, serializer, |value| *value),
            D::U64 => elements::<u64, _, _>(&self.0, serializer, |value| *value),
            D::I8 => elements::<i8, _, _>(&self.0, serializer, |value| *value),
            D::I16 => elements::<i16, _, _>(&self.0, serializer, |value| *value),
            D::I32 => elements::<i32, _, _>(&self.0, serializer, |value| *value),
            D::I64 => elements::<i64, _, _>(&self.0, serializer, |value| *value),
            D::F16 => elements::<f16, _, _>(&self.0, serializer, |value| value.to_f32()),
            D::F32 => elements::<f32, _, _>(&self.0, serializer, |value| *value),
            D::F64 => elements::<f64, _, _>(&self.0, serializer, |value| *value),
            D::String => elements::<String, _, _>(&self.0, serializer, String::clone),
            other => Err(serde::ser::Error::custom(format!(
                "an output of type {other:?} has no JSON form"
            ))),
        }
    }
}

fn elements<T: Datum, J: Serialize, S: Serializer>(
    tensor: &Tensor,
    serializer: S,
    json: impl Fn(&T) -> J,
) -> Result<S::Ok, S::Error> {
    let view = tensor
        .try_as_plain_ram()
        .map_err(serde::ser::Error::custom)?;
    let values = view.as_slice::<T>().map_err(serde::ser::Error::custom)?;
    let mut array = serializer.serialize_seq(Some(values.len()))?;

    values
        .iter()
        .try_for_each(|value| array.serialize_element(&json(value)))?;
    array.end()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
