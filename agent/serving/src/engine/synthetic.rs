//! The synthetic inference that tests a model after loading.

use super::{
    Engine, Shapes,
    error::{EngineError, guarded},
};
use crate::{datatype::Datatype, work::Control};
use tract_onnx::prelude::*;

/// Sizes tried for open dimensions: small ones, and those common for images and audio.
const OPEN_SIZES: [usize; 7] = [1, 2, 8, 32, 64, 224, 512];

/// Most elements of a synthetic input.
const SYNTHETIC_ELEMENTS_MAX: usize = 4 << 20;

/// Values of synthetic inputs: floats, and whole numbers. Zeros first where they may be indices,
/// then what may not be divided by.
const FILLS: [(f32, i64); 3] = [(1.0, 0), (1.0, 1), (0.0, 0)];

impl Engine {
    /// Runs inferences on synthetic inputs until one succeeds: a model may refuse values and sizes
    /// for good reasons (an index, a window of audio). Returns the first error if none does.
    ///
    /// Fails if the model can't be run at all: a tensor is too large, the time is up, or no plan
    /// can be made although only the batch dimension is open.
    pub(crate) fn run_synthetic(
        &self,
        control: &Control,
    ) -> Result<Option<EngineError>, EngineError> {
        let is_open = self.is_open();
        if !is_open {
            let shapes = self
                .inputs
                .iter()
                .map(|input| with_open_as(&input.shape, 1))
                .collect();
            let planned = guarded(|| self.plan(shapes, control).map(drop));

            planned.map_err(|error| {
                if error.is_own_limit() {
                    error
                } else {
                    EngineError::Model(error.to_string())
                }
            })?;
        }

        let mut first = None;
        for size in if is_open {
            &OPEN_SIZES[..]
        } else {
            &OPEN_SIZES[..1]
        } {
            if first.is_some()
                && self
                    .inputs
                    .iter()
                    .any(|input| elements(&input.shape, *size) > SYNTHETIC_ELEMENTS_MAX)
            {
                break;
            }

            match self.run_with_size(*size, control) {
                Ok(()) => {
                    first = None;
                    break;
                }
                // A later size may be too large or too slow although the first was not.
                Err(error) if error.is_own_limit() && first.is_some() => break,
                Err(error) if error.is_own_limit() => return Err(error),
                Err(error) => first = first.or(Some(error)),
            }
        }

        control.check().map_err(EngineError::Stopped)?;
        if is_open {
            // Requests use other sizes.
            self.plans.lock().clear();
        }

        Ok(first)
    }

    fn run_with_size(&self, size: usize, control: &Control) -> Result<(), EngineError> {
        let shapes: Shapes = self
            .inputs
            .iter()
            .map(|input| with_open_as(&input.shape, size))
            .collect();

        guarded(|| self.plan(shapes.clone(), control).map(drop))?;
        let mut first = None;
        for fill in FILLS {
            let inputs = self
                .inputs
                .iter()
                .zip(&shapes)
                .map(|(input, shape)| filled(input.datatype, shape, fill));
            let inputs = inputs.collect::<TractResult<Vec<_>>>();
            let inputs =
                inputs.map_err(|error| EngineError::from_tract(&error, EngineError::Inference))?;

            match self.run(inputs, control) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_own_limit() => return Err(error),
                Err(error) => first = first.or(Some(error)),
            }
        }

        first.map_or(Ok(()), Err)
    }
}

fn with_open_as(shape: &[i64], size: usize) -> Vec<usize> {
    shape
        .iter()
        .map(|dim| usize::try_from(*dim).unwrap_or(size))
        .collect()
}

fn elements(shape: &[i64], open: usize) -> usize {
    with_open_as(shape, open)
        .into_iter()
        .fold(1, usize::saturating_mul)
}

fn filled(datatype: Datatype, shape: &[usize], (float, whole): (f32, i64)) -> TractResult<Tensor> {
    let kind = datatype.tract();
    match datatype {
        Datatype::Bytes => Ok(tract_ndarray::ArrayD::from_elem(shape, String::new()).into_tensor()),
        Datatype::Fp16 | Datatype::Fp32 | Datatype::Fp64 => tensor0(float)
            .cast_to_dt(kind)?
            .broadcast_scalar_to_shape(shape),
        _ => tensor0(whole)
            .cast_to_dt(kind)?
            .broadcast_scalar_to_shape(shape),
    }
}
