//! An answer, and the formats it is rendered in.

use crate::cost::questions::Question;
use clap::ValueEnum;
use regionmesh_cost::{
    QueryError, Warning, WarningKind,
    render::{Document, csv, html, text},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use strum::{EnumString, IntoStaticStr};

/// An answer, as JSON and as a document for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For programs; money is decimal text.
    pub json: Value,
    /// For people and spreadsheets.
    pub document: Document,
}

/// A format of answers.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, EnumString, IntoStaticStr, JsonSchema,
)]
#[schemars(rename = "CostFormat", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Format {
    /// For people
    Table,
    /// JSON; money as decimal text
    #[default]
    Json,
    /// Comma-separated, for spreadsheets
    Csv,
    /// A self-contained page with charts
    Html,
}

impl Format {
    /// Its name in queries and options: `json`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Table => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

impl Answer {
    pub(super) fn new(json: &impl Serialize, document: Document) -> Result<Self, AnswerError> {
        Ok(Self {
            json: serde_json::to_value(json)?,
            document,
        })
    }

    /// Adds warnings about the files that the answer is based on.
    pub fn add_file_warnings(&mut self, question: &Question, warnings: Vec<String>) {
        let entry = |message: &String| match question {
            Question::Report(_) | Question::Trends(..) | Question::Models(_) => {
                json!(Warning {
                    kind: WarningKind::File,
                    message: message.clone()
                })
            }
            _ => json!(message),
        };

        if let Some(fields) = self.json.as_object_mut()
            && let Some(entries) = fields
                .entry("warnings")
                .or_insert_with(|| json!([]))
                .as_array_mut()
        {
            entries.extend(warnings.iter().map(entry));
        }

        self.document.warnings.extend(warnings);
    }

    /// The answer in a format.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => format!("{:#}\n", self.json),
            Format::Table => text(&self.document),
            Format::Csv => csv(&self.document),
            Format::Html => html(&self.document),
        }
    }
}

/// Why a question can't be answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is not a question that bills can answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// It needs a mesh.
    #[error("{0} need a running mesh: ask one, without --files")]
    NeedsMesh(&'static str),
    /// No placement satisfies the limits.
    #[error("{0}")]
    NoPlacement(String),
    /// The answer can't be written.
    #[error("the answer can't be written: {0}")]
    Json(#[from] serde_json::Error),
}
