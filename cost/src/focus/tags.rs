//! The chosen tags of a row, from JSON.

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::{collections::HashMap, fmt, hash::BuildHasher};

/// Bytes of texts whose tags are remembered.
const REMEMBERED_MAX: usize = 4 << 20;

/// The values of the chosen tags, each set of them once.
#[derive(Debug)]
pub(super) struct TagSets {
    keys: Vec<String>,
    sets: Vec<Vec<String>>,
    places: HashMap<Vec<String>, u32>,
    remembered: Remembered,
}

/// Sets by the text of the cell.
#[derive(Debug, Default)]
struct Remembered {
    hasher: DefaultHashBuilder,
    table: HashTable<(u32, u32, Option<u32>)>,
    bytes: Vec<u8>,
}

impl TagSets {
    /// The set without values.
    pub(super) const NONE: u32 = 0;

    pub(super) fn new(keys: Vec<String>) -> Self {
        let none = vec![String::new(); keys.len()];
        let places = HashMap::from([(none.clone(), Self::NONE)]);
        Self {
            keys,
            sets: vec![none],
            places,
            remembered: Remembered::default(),
        }
    }

    /// Whether no tag was chosen.
    pub(super) fn is_unused(&self) -> bool {
        self.keys.is_empty()
    }

    /// The highest set.
    #[cfg(feature = "parquet")]
    pub(super) fn highest(&self) -> u32 {
        (self.sets.len() - 1) as u32
    }

    /// The values of a set, in the order of the keys.
    pub(super) fn values(&self, set: u32) -> &[String] {
        &self.sets[set as usize]
    }

    /// The set of a JSON text; `None` if it is not JSON.
    pub(super) fn set(&mut self, text: &[u8]) -> Option<u32> {
        let Remembered {
            hasher,
            table,
            bytes,
        } = &self.remembered;
        let hash = hasher.hash_one(text);
        let of = |start: u32, length: u32| &bytes[start as usize..(start + length) as usize];

        if let Some(known) = table.find(hash, |(start, length, _)| of(*start, *length) == text) {
            return known.2;
        }

        let set = self.parse(text).map(|values| self.place(values));
        let Remembered {
            hasher,
            table,
            bytes,
        } = &mut self.remembered;

        if bytes.len() + text.len() > REMEMBERED_MAX {
            table.clear();
            bytes.clear();
        }

        let start = bytes.len();
        bytes.extend_from_slice(text);
        table.insert_unique(
            hash,
            (start as u32, text.len() as u32, set),
            |(start, length, _)| {
                hasher.hash_one(&bytes[*start as usize..(start + length) as usize])
            },
        );

        set
    }

    /// The set of these tags; of several values for a key, the last one counts.
    #[cfg(feature = "parquet")]
    pub(super) fn set_of<'a>(&mut self, tags: impl Iterator<Item = (&'a str, &'a str)>) -> u32 {
        let mut values = vec![String::new(); self.keys.len()];
        for (key, value) in tags {
            if let Ok(place) = self.keys.binary_search_by(|known| known.as_str().cmp(key)) {
                values[place] = value.to_owned();
            }
        }

        self.place(values)
    }

    fn place(&mut self, values: Vec<String>) -> u32 {
        if let Some(place) = self.places.get(&values) {
            return *place;
        }

        let place = self.sets.len() as u32;
        self.sets.push(values.clone());
        self.places.insert(values, place);
        place
    }

    fn parse(&self, text: &[u8]) -> Option<Vec<String>> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let braced;

        // Some exports of Azure leave the braces out.
        let json = if text.starts_with('"') && text.contains(':') {
            braced = format!("{{{text}}}");
            &braced
        } else {
            text
        };
        let mut values = vec![String::new(); self.keys.len()];
        let mut deserializer = serde_json::Deserializer::from_str(json);

        deserializer
            .deserialize_any(Chosen {
                keys: &self.keys,
                values: &mut values,
            })
            .ok()?;

        deserializer.end().ok()?;
        Some(values)
    }
}

/// Picks the chosen keys out of an object, or of a list of objects with `key` and `value`.
struct Chosen<'a> {
    keys: &'a [String],
    values: &'a mut [String],
}

impl Chosen<'_> {
    fn value(&mut self, key: &str) -> Option<&mut String> {
        let place = self
            .keys
            .binary_search_by(|known| known.as_str().cmp(key))
            .ok()?;
        self.values.get_mut(place)
    }
}

impl<'de> Visitor<'de> for Chosen<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tags, or a list of keys and values")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.value(&key) {
                Some(value) => *value = plain(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }

        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Pair(&mut self))?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// One `{"key": …, "value": …}`.
struct Pair<'a, 'b>(&'a mut Chosen<'b>);

impl<'de> DeserializeSeed<'de> for Pair<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key and a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut key = None;
        let mut value = None;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "key" | "Key" => key = Some(map.next_value()?),
                "value" | "Value" => value = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }

        if let Some(place) = key.and_then(|key| self.0.value(&plain(key))) {
            *place = value.map(plain).unwrap_or_default();
        }
        Ok(())
    }
}

/// The text of a JSON string, nothing for null, and JSON for everything else (`true`, `5`).
fn plain(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
