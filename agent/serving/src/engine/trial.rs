//! The synthetic inference that a model is tried with after loading.

use super::{
    Engine, Shapes,
    error::{EngineError, guarded},
    lock,
};
use crate::{datatype::Datatype, work::Control};
use tract_onnx::prelude::*;

/// Sizes that dimensions which a request may choose are tried with: small ones, and what images and
/// audio often need.
const OPEN_SIZES: [usize; 7] = [1, 2, 8, 32, 64, 224, 512];

/// Most elements of a synthetic input.
const TRIAL_ELEMENTS_MAX: usize = 4 << 20;

/// Values of synthetic inputs: floats, and whole numbers. Zeros first where they may be indices,
/// then what may not be divided by.
const FILLS: [(f32, i64); 3] = [(1.0, 0), (1.0, 1), (0.0, 0)];

impl Engine {
    /// Runs inferences on synthetic inputs until one succeeds: a model may refuse values and sizes
    /// for good reasons (an index, a window of audio). Returns the first error if none does.
    ///
    /// Fails where the model can't be run at all: a tensor is too large, the time is up, or there
    /// is no plan though no dimension but the batch is open.
    pub(crate) fn try_out(&self, control: &Control) -> Result<Option<EngineError>, EngineError> {
        let is_open = self.is_open();
        if !is_open {
            let shapes = self
                .inputs
                .iter()
                .map(|input| with_open_as(&input.shape, 1))
                .collect();
            let planned = guarded(|| self.plan(shapes, control).map(drop));

            planned.map_err(|error| {
                if error.is_ours() {
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
                    .any(|input| elements(&input.shape, *size) > TRIAL_ELEMENTS_MAX)
            {
                break;
            }

            match self.try_size(*size, control) {
                Ok(()) => {
                    first = None;
                    break;
                }
                // A later size may be too large or too slow although the first was not.
                Err(error) if error.is_ours() && first.is_some() => break,
                Err(error) if error.is_ours() => return Err(error),
                Err(error) => first = first.or(Some(error)),
            }
        }

        control.check().map_err(EngineError::Stopped)?;
        if is_open {
            // Users ask for other sizes than these.
            self.plans.lock().clear();
        }

        Ok(first)
    }

    fn try_size(&self, size: usize, control: &Control) -> Result<(), EngineError> {
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
                Err(error) if error.is_ours() => return Err(error),
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
