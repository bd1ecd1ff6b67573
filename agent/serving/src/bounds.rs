//! Bounds on the tensors that a model creates, checked before the engine allocates them.
//!
//! tract evaluates constants while it reads a graph and allocates what an operator requests; a
//! failed allocation aborts the process. A model of 162 bytes can request terabytes, so every known
//! shape is checked before anything is computed from it: attributes in the file, inferred shapes,
//! shapes after each stage of optimisation, and at run time the shapes that depend on values.

use crate::work::Control;
use anyhow::{Context, bail};
use std::collections::{BTreeSet, HashMap};
use tract_onnx::{
    pb::GraphProto,
    prelude::*,
    tract_core::{internal::TypedOp, ops::konst::Const},
    tract_hir::infer::{Factoid, InferenceOp},
};

/// A tensor, or an operator's table, that is larger than allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operator {operator} ({node:?}) needs {} bytes for one tensor, serving.max_tensor_bytes is \
    {limit}", size(*.bytes))]
pub(crate) struct TooLarge {
    operator: String,
    node: String,
    /// None: the size overflows.
    bytes: Option<u64>,
    limit: u64,
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "more than 2^64".into(), |bytes| bytes.to_string())
}

/// Bytes that tract needs for the offsets and coordinates of each place of a kernel, estimated.
const BYTES_PER_KERNEL_PLACE: u64 = 64;
/// Largest tensor, elements, that is read as values when a shape depends on it.
const VALUES_MAX: usize = 64;

/// `text`: bytes of the longest text that an element may hold.
fn bytes_of(datatype: DatumType, shape: &[usize], text: usize) -> Option<u64> {
    let text = if datatype == DatumType::String {
        text
    } else {
        0
    };
    let element = u64::try_from(datatype.size_of().checked_add(text)?).ok()?;

    // A zero anywhere makes the tensor empty, regardless of the other dimensions.
    if shape.contains(&0) {
        return Some(0);
    }

    shape.iter().try_fold(element, |bytes, dim| {
        bytes.checked_mul(u64::try_from(*dim).ok()?)
    })
}

fn check(operator: &str, node: &str, bytes: Option<u64>, limit: u64) -> Result<(), TooLarge> {
    match bytes {
        Some(bytes) if bytes <= limit => Ok(()),
        bytes => Err(TooLarge {
            operator: operator.into(),
            node: node.into(),
            bytes,
            limit,
        }),
    }
}

/// Checks kernels, whose tables no tensor's shape reveals. Subgraphs included; the reader bounds
/// their depth.
pub(crate) fn check_attributes(graph: &GraphProto, limit: u64) -> Result<(), TooLarge> {
    for node in &graph.node {
        for attribute in &node.attribute {
            if attribute.name == "kernel_shape" {
                let places = attribute
                    .ints
                    .iter()
                    .try_fold(BYTES_PER_KERNEL_PLACE, |bytes, length| {
                        bytes.checked_mul(u64::try_from(*length).unwrap_or(0))
                    });

                check(&node.op_type, &node.name, places, limit)?;
            }

            attribute
                .g
                .iter()
                .chain(&attribute.graphs)
                .try_for_each(|inner| check_attributes(inner, limit))?;
        }
    }

    Ok(())
}

/// Reimplements tract's analysis (its analyser is private), and checks each shape as soon as it is
/// known and before the operator is evaluated.
pub(crate) fn analyse(
    graph: &mut InferenceModel,
    limit: u64,
    control: &Control,
) -> TractResult<()> {
    let mut observers: HashMap<OutletId, Vec<usize>> = HashMap::new();
    for node in graph.nodes() {
        for outlet in node.op.observe_outlets(graph, node)? {
            observers.entry(outlet).or_default().push(node.id);
        }
        node.outputs
            .iter()
            .try_for_each(|output| check_tensor(node, &output.fact, 0, limit))?;
    }

    let mut pending: BTreeSet<usize> = graph.nodes().iter().map(|node| node.id).collect();
    while let Some(id) = pending.pop_first() {
        control.check()?;
        let changed = analyse_one(graph, id, limit);
        for (outlet, tensor) in changed.with_context(|| format!("analysing {}", graph.node(id)))? {
            let source = graph.node(outlet.node);
            check_tensor(source, &tensor, 0, limit)?;
            pending.extend(
                source.outputs[outlet.slot]
                    .successors
                    .iter()
                    .map(|inlet| inlet.node),
            );

            pending.insert(outlet.node);
            pending.extend(observers.get(&outlet).into_iter().flatten());
            graph.set_outlet_fact(outlet, tensor)?;
        }

        pending.remove(&id);
    }

    Ok(())
}

/// Infers one operator's inputs and outputs as far as possible; returns the outlets that became
/// more precise.
fn analyse_one(
    graph: &mut InferenceModel,
    id: usize,
    limit: u64,
) -> TractResult<Vec<(OutletId, InferenceFact)>> {
    let node = graph.node(id);
    let observed = node.op.observe_outlets(graph, node)?;
    let of_outlets = |outlets: &[OutletId]| {
        outlets
            .iter()
            .map(|outlet| graph.outlet_fact(*outlet).cloned())
            .collect::<TractResult<Vec<_>>>()
    };
    let outlets: Vec<OutletId> = (0..node.outputs.len())
        .map(|slot| OutletId::new(id, slot))
        .collect();
    let inputs = of_outlets(&node.inputs)?;
    let outputs = of_outlets(&outlets)?;
    let seen = of_outlets(&observed)?;

    if node.op.nboutputs()? != outputs.len() {
        bail!(
            "{} has {} outputs, its operator makes another number",
            node,
            outputs.len()
        );
    }

    let mut operator: Box<dyn InferenceOp> = node.op.clone();
    // If all inputs of an operator are known, the inference evaluates it: its output shapes are
    // checked first.
    if !inputs.is_empty() && inputs.iter().all(|input| input.value.is_concrete()) {
        let asked = operator.infer_facts(
            inputs.iter().collect(),
            outputs.iter().collect(),
            seen.iter().collect(),
        );

        // If this fails, the inference fails in the same way with a better message.
        if let Ok((_, made, _)) = asked {
            let values: Vec<_> = inputs
                .iter()
                .filter_map(|input| input.value.concretize())
                .collect();
            let text = longest_text(values.iter().map(|value| &**value))?;

            made.iter()
                .try_for_each(|tensor| check_tensor(node, tensor, text, limit))?;
        }
    }

    let inferred = operator.infer(
        inputs.iter().collect(),
        outputs.iter().collect(),
        seen.iter().collect(),
    )?;
    let all = node.inputs.iter().chain(&outlets).chain(&observed);
    let mut changed = Vec::new();

    for (outlet, tensor) in all.zip(inferred.0.iter().chain(&inferred.1).chain(&inferred.2)) {
        let known = graph.outlet_fact(*outlet)?;
        let unified = known
            .unify(tensor)
            .with_context(|| format!("unifying what is known of {node}"))?;

        if unified != *known {
            changed.push((*outlet, unified));
        }
    }

    graph.node_mut(id).op = operator;
    Ok(changed)
}

type InferenceNode = Node<InferenceFact, Box<dyn InferenceOp>>;

fn check_tensor(
    node: &InferenceNode,
    tensor: &InferenceFact,
    text: usize,
    limit: u64,
) -> TractResult<()> {
    if node.op_is::<Const>() {
        return Ok(());
    }

    let (Some(datatype), Some(shape)) = (
        tensor.datum_type.concretize(),
        tensor.shape.as_concrete_finite()?,
    ) else {
        return Ok(());
    };

    Ok(check(
        &node.op().name(),
        &node.name,
        bytes_of(datatype, &shape, text),
        limit,
    )?)
}

/// Checks every shape that is known in a typed graph. Constants already exist: they come from the
/// file.
pub(crate) fn check_typed(graph: &TypedModel, limit: u64) -> Result<(), TooLarge> {
    for node in graph.nodes().iter().filter(|node| !node.op_is::<Const>()) {
        for output in &node.outputs {
            if let Some(shape) = output.fact.shape.as_concrete() {
                check(
                    &node.op().name(),
                    &node.name,
                    bytes_of(output.fact.datum_type, shape, 0),
                    limit,
                )?;
            }
        }
    }

    Ok(())
}

type TypedNode = Node<TypedFact, Box<dyn TypedOp>>;

/// By node: whether some output's size depends on values, so that it has to be checked at run time.
pub(crate) fn open_nodes(graph: &TypedModel) -> Vec<bool> {
    let is_open =
        |tensor: &TypedFact| !tensor.shape.is_concrete() || tensor.datum_type == DatumType::String;
    graph
        .nodes()
        .iter()
        .map(|node| node.outputs.iter().any(|output| is_open(&output.fact)))
        .collect()
}

/// Bytes of the longest text in these tensors.
fn longest_text<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> TractResult<usize> {
    let mut longest = 0;
    for tensor in tensors.filter(|tensor| tensor.datum_type() == DatumType::String) {
        let view = tensor.try_as_plain_ram()?;
        longest = view
            .as_slice::<String>()?
            .iter()
            .map(String::len)
            .fold(longest, usize::max);
    }

    Ok(longest)
}

/// Checks the outputs that an operator will compute from these inputs, as far as they can be
/// inferred.
pub(crate) fn check_inputs(node: &TypedNode, inputs: &[TValue], limit: u64) -> TractResult<()> {
    // Inferring such an operator's outputs creates symbols permanently; of these operators only
    // Range can create large outputs from small inputs.
    if node.op().mints_runtime_symbols() && node.op().name() != "Range" {
        return Ok(());
    }

    let describe = |value: &TValue| {
        let is_small = value.len() <= VALUES_MAX;
        if is_small {
            TypedFact::try_from(value.clone().into_tensor())
        } else {
            Ok(TypedFact::shape_and_dt_of(value))
        }
    };
    let tensors = inputs
        .iter()
        .map(describe)
        .collect::<TractResult<Vec<_>>>()?;
    let tensors: Vec<&TypedFact> = tensors.iter().collect();
    let text = longest_text(inputs.iter().map(|value| &**value))?;

    // If this fails, the evaluation fails in the same way with a better message.
    let Ok(outputs) = node.op.output_facts(&tensors) else {
        return Ok(());
    };
    for output in outputs {
        if let Some(shape) = output.shape.as_concrete() {
            check(
                &node.op().name(),
                &node.name,
                bytes_of(output.datum_type, shape, text),
                limit,
            )?;
        }
    }

    Ok(())
}
