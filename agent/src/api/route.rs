//! What a route is: its path, what it takes and what it answers.

use super::state::Api;
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Makes a schema, or a reference to one that it adds to the generator's definitions.
pub(crate) type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// The schema of a type.
pub(crate) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What the body of a request holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodyKind {
    None,
    /// JSON of this schema.
    Json(MakeSchema),
    /// The bytes of a file.
    File,
    /// A form with files.
    Form,
}

/// The answer to a request that succeeds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Text,
    /// 200 with JSON of this schema.
    Json(MakeSchema),
    /// 200 with JSON of this schema, or in another format that the query asks for.
    Formats(MakeSchema),
    /// 201 with JSON of this schema.
    Created(MakeSchema),
    /// 200 with an endless stream of events (text/event-stream), whose data is JSON of this schema.
    Stream(MakeSchema),
    /// 200 or 503, both with JSON of this schema: probers read the status alone.
    Probe(MakeSchema),
}

/// A parameter of a query: its name, its schema, and its meaning.
pub(crate) type Parameter = (&'static str, MakeSchema, &'static str);

/// A route of the API.
pub struct Route {
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// `get` or `post`.
    pub method: &'static str,
    /// One sentence, without a full stop.
    pub summary: &'static str,
    pub(crate) body: BodyKind,
    pub(crate) answer: Answer,
    /// Statuses of its errors, in addition to those that every route may answer.
    pub(crate) errors: &'static [u16],
    /// Whether it needs the token: it changes state, or costs a lot.
    pub needs_token: bool,
    pub(crate) query: &'static [Parameter],
    /// Schemas of path parameters, where they are not those of [`super::parameters::in_path`].
    pub(crate) path_schemas: &'static [(&'static str, MakeSchema)],
    handler: fn() -> MethodRouter<Api>,
}

/// A route that only reads.
pub(crate) const fn read(
    path: &'static str,
    summary: &'static str,
    answer: Answer,
    errors: &'static [u16],
    handler: fn() -> MethodRouter<Api>,
) -> Route {
    Route {
        path,
        method: "get",
        summary,
        body: BodyKind::None,
        answer,
        errors,
        needs_token: false,
        query: &[],
        path_schemas: &[],
        handler,
    }
}

/// A route that changes state.
pub(crate) const fn change(
    path: &'static str,
    summary: &'static str,
    body: BodyKind,
    answer: Answer,
    errors: &'static [u16],
    handler: fn() -> MethodRouter<Api>,
) -> Route {
    Route {
        path,
        method: "post",
        summary,
        body,
        answer,
        errors,
        needs_token: true,
        query: &[],
        path_schemas: &[],
        handler,
    }
}

impl Route {
    pub(crate) fn handler(&self) -> MethodRouter<Api> {
        (self.handler)()
    }

    pub(crate) const fn with_query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    pub(crate) const fn with_path_schemas(
        mut self,
        schemas: &'static [(&'static str, MakeSchema)],
    ) -> Self {
        self.path_schemas = schemas;
        self
    }
}
