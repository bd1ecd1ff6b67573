//! How an object is described.

/// One field: its name, its type, and its meaning. A type that ends in `?` may be null; one that
/// ends in `~` may be left out of a request.
pub(crate) type Field = (&'static str, &'static str, &'static str);

/// An object: its name, its meaning, and its fields.
pub(crate) type Object = (&'static str, &'static str, &'static [Field]);
