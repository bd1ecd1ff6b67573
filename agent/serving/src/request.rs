//! An inference request in JSON, from an untrusted client.
//!
//! Open Inference Protocol V2, "Inference Request JSON Object". Tensor data is read straight into
//! packed vectors: `serde_json::Value` would need 16 times the size of a body like `[0,0,0,...]`.

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor},
};
use std::fmt;

/// A request. Fields that the protocol or an extension may add are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct InferRequest {
    /// Echoed in the response.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// Tolerated and unused.
    #[serde(default, rename = "parameters")]
    _parameters: IgnoredAny,
    pub(crate) inputs: Vec<RequestInput>,
    /// The outputs that are wanted; all if absent or empty.
    #[serde(default)]
    pub(crate) outputs: Option<Vec<RequestOutput>>,
}

/// One input tensor.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestInput {
    /// Its name in the model.
    pub(crate) name: String,
    /// Its shape; checked later, since negative and fractional numbers deserve a better message
    /// than a type error.
    pub(crate) shape: Vec<serde_json::Number>,
    /// Its element type.
    pub(crate) datatype: String,
    /// Its elements; absent where a client sends the binary extension.
    #[serde(default)]
    pub(crate) data: Option<Elements>,
}

/// A wanted output.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestOutput {
    /// Its name in the model.
    pub(crate) name: String,
}

/// Elements in row-major order, and how they were nested.
#[derive(Debug, PartialEq)]
pub(crate) struct Elements {
    pub(crate) values: Values,
    /// Lengths of the nested arrays, outermost first; one entry for a flat array.
    pub(crate) nesting: Vec<usize>,
}

/// Elements of one kind.
#[derive(Debug, PartialEq)]
pub(crate) enum Values {
    /// No element yet.
    None,
    /// `true` and `false`.
    Bools(Vec<bool>),
    /// Whole numbers that fit.
    Ints(Vec<i64>),
    /// Whole numbers of which some are above `i64::MAX`.
    Wide(Vec<i128>),
    /// Numbers of which some have a fraction or exponent.
    Floats(Vec<f64>),
    Strings(Vec<String>),
}

impl Values {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Values::None => 0,
            Values::Bools(values) => values.len(),
            Values::Ints(values) => values.len(),
            Values::Wide(values) => values.len(),
            Values::Floats(values) => values.len(),
            Values::Strings(values) => values.len(),
        }
    }

    /// What they are, for an error message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Values::None => "nothing",
            Values::Bools(_) => "booleans",
            Values::Ints(_) | Values::Wide(_) => "whole numbers",
            Values::Floats(_) => "numbers",
            Values::Strings(_) => "strings",
        }
    }

    fn push_bool(&mut self, value: bool) -> Result<(), &'static str> {
        match self {
            Values::None => *self = Values::Bools(vec![value]),
            Values::Bools(values) => values.push(value),
            other => return Err(other.kind()),
        }

        Ok(())
    }

    fn push_int(&mut self, value: i128) -> Result<(), &'static str> {
        match (&mut *self, i64::try_from(value)) {
            (Values::None, Ok(value)) => *self = Values::Ints(vec![value]),
            (Values::None, Err(_)) => *self = Values::Wide(vec![value]),
            (Values::Ints(values), Ok(value)) => values.push(value),
            (Values::Ints(values), Err(_)) => {
                *self = Values::Wide(
                    values
                        .iter()
                        .map(|value| i128::from(*value))
                        .chain([value])
                        .collect(),
                );
            }
            (Values::Wide(values), _) => values.push(value),
            (Values::Floats(values), _) => values.push(value as f64),
            (other, _) => return Err(other.kind()),
        }

        Ok(())
    }

    fn push_float(&mut self, value: f64) -> Result<(), &'static str> {
        match self {
            Values::None => *self = Values::Floats(vec![value]),
            Values::Floats(values) => values.push(value),
            Values::Ints(values) => {
                *self = Values::Floats(
                    values
                        .iter()
                        .map(|value| *value as f64)
                        .chain([value])
                        .collect(),
                );
            }
            Values::Wide(values) => {
                *self = Values::Floats(
                    values
                        .iter()
                        .map(|value| *value as f64)
                        .chain([value])
                        .collect(),
                );
            }
            other => return Err(other.kind()),
        }

        Ok(())
    }

    fn push_string(&mut self, value: &str) -> Result<(), &'static str> {
        match self {
            Values::None => *self = Values::Strings(vec![value.to_owned()]),
            Values::Strings(values) => values.push(value.to_owned()),
            other => return Err(other.kind()),
        }

        Ok(())
    }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut reader = Reader {
            values: Values::None,
            nesting: Vec::new(),
            leaf_depth: None,
        };
        let outer = Node {
            reader: &mut reader,
            depth: 0,
        };

        deserializer.deserialize_seq(outer)?;
        Ok(Elements {
            values: reader.values,
            nesting: reader.nesting,
        })
    }
}

struct Reader {
    values: Values,
    nesting: Vec<usize>,
    leaf_depth: Option<usize>,
}

/// An array or element at `depth`; the recursion is bounded by serde_json's limit of 128.
struct Node<'a> {
    reader: &'a mut Reader,
    depth: usize,
}

impl Node<'_> {
    fn leaf<E: serde::de::Error>(
        self,
        push: impl FnOnce(&mut Values) -> Result<(), &'static str>,
    ) -> Result<(), E> {
        if *self.reader.leaf_depth.get_or_insert(self.depth) != self.depth {
            return Err(E::custom(
                "the nested arrays of data are ragged: elements are at different depths",
            ));
        }

        push(&mut self.reader.values)
            .map_err(|kind| E::custom(format!("data mixes {kind} with other kinds")))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.depth == 0 {
            "an array of tensor elements"
        } else {
            "a number, boolean, string or array"
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let mut length = 0usize;
        while array
            .next_element_seed(Node {
                reader: self.reader,
                depth: self.depth + 1,
            })?
            .is_some()
        {
            length += 1;
        }

        let nesting = &mut self.reader.nesting;
        if nesting.len() <= self.depth {
            // usize::MAX: an inner array ended before its outer ones, whose lengths are not known
            // yet.
            nesting.resize(self.depth + 1, usize::MAX);
        }

        if nesting[self.depth] == usize::MAX {
            nesting[self.depth] = length;
        } else if nesting[self.depth] != length {
            let first = nesting[self.depth];
            return Err(A::Error::custom(format!(
                "the nested arrays of data are ragged: one of length {length} next to one of length \
                    {first}"
            )));
        }

        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.leaf(|values| values.push_bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.leaf(|values| values.push_int(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.leaf(|values| values.push_int(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.leaf(|values| values.push_float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.leaf(|values| values.push_string(value))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str) -> Result<Elements, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    proptest! {
        #[test]
        fn nested_and_flat_arrays_give_the_same_elements(
            rows in 1usize..5,
            columns in 1usize..5,
            seed: i32,
        ) {
            let row = |r: usize| {
                (0..columns)
                    .map(|c| i64::from(seed) + (r * columns + c) as i64)
                    .collect::<Vec<_>>()
            };
            let nested: Vec<Vec<i64>> = (0..rows).map(row).collect();
            let flat: Vec<i64> = nested.concat();
            let from_nested = read(&serde_json::to_string(&nested).unwrap()).unwrap();
            let from_flat = read(&serde_json::to_string(&flat).unwrap()).unwrap();

            prop_assert_eq!(&from_nested.values, &Values::Ints(flat));
            prop_assert_eq!(from_nested.values, from_flat.values);
            prop_assert_eq!(from_nested.nesting, vec![rows, columns]);
        }

        #[test]
        fn arbitrary_json_never_panics(text in "[\\[\\]0-9.,e\"tru-]{0,40}") {
            let _ = read(&text);
        }
    }

    #[test]
    fn numbers_widen_without_loss() {
        assert_eq!(
            read("[1, 18446744073709551615]").unwrap().values,
            Values::Wide(vec![1, u64::MAX.into()])
        );

        assert_eq!(
            read("[1, 0.5]").unwrap().values,
            Values::Floats(vec![1.0, 0.5])
        );
    }

    #[test]
    fn ragged_and_mixed_arrays_are_refused() {
        for json in [
            "[[1,2],[3]]",
            "[1,[2]]",
            "[[1],2]",
            "[1,true]",
            "[\"a\",1]",
            "[null]",
            "[{}]",
            "3",
            "[[],[1]]",
        ] {
            assert!(read(json).is_err(), "{json} was accepted");
        }
    }
}
