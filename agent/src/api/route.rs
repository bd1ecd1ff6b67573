//! What a route is: its path, what it takes and what it answers.

use super::state::Api;
use axum::routing::MethodRouter;

/// What the body of a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    None,
    /// JSON of this schema.
    Json(&'static str),
    /// The bytes of a file.
    File,
    /// A form with files.
    Form,
}

/// The answer to a request that succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Text,
    /// 200 with JSON of this schema.
    Json(&'static str),
    /// 200 with JSON of this schema, or in another format that the query asks for.
    Formats(&'static str),
    /// 201 with JSON of this schema.
    Created(&'static str),
    /// 200 with an endless stream of events (text/event-stream), whose data is JSON of this schema.
    Stream(&'static str),
    /// 200 or 503, both with JSON of this schema: probers read the status alone.
    Probe(&'static str),
}

/// A parameter of a query: its name, its kind (a rule of [`super::schemas`]), and its meaning.
pub(crate) type Parameter = (&'static str, &'static str, &'static str);

pub(crate) struct Route {
    /// Path with `{parameters}`.
    pub(crate) path: &'static str,
    /// `get` or `post`.
    pub(crate) method: &'static str,
    /// One sentence, without a full stop.
    pub(crate) summary: &'static str,
    pub(crate) body: BodyKind,
    pub(crate) answer: Answer,
    /// Statuses of its errors, in addition to those that every route may answer.
    pub(crate) errors: &'static [u16],
    /// Whether it needs the token: it changes state, or costs a lot.
    pub(crate) needs_token: bool,
    pub(crate) query: &'static [Parameter],
    /// Kinds of path parameters whose kind is not their name.
    pub(crate) path_kinds: &'static [(&'static str, &'static str)],
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
        path_kinds: &[],
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
        path_kinds: &[],
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

    pub(crate) const fn with_path_kinds(
        mut self,
        kinds: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.path_kinds = kinds;
        self
    }
}
