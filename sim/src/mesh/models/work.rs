//! The pieces of work, and how each one's end is reported.

use super::{
    act::{Act, upload},
    context::{Context, Response, WorkError, Worked},
    objects::Operation,
    publish::PublishError,
};
use crate::mesh::node::{Answer, Question, Ticket};
use regionmesh_core::replication::{Effect, Input};
use regionmesh_protocol::models::{
    catalogue::{AliasEntry, Tombstone},
    manifest::{ModelName, VersionName, VersionSummary},
};
use std::pin::Pin;

/// What happens to work.
#[derive(Debug)]
pub(crate) enum WorkEvent {
    /// An operation reaches the store.
    Run(Ticket, Operation),
    /// Something that work waits for has happened.
    Responded(Ticket, Response),
}

/// How a piece of work ended.
pub(crate) enum Done {
    /// The core learns of it.
    Replication(Box<Input>),
    Answer(Ticket, Box<Answer>),
    /// What the user learns, by the number of the act.
    Published(usize, Box<Result<VersionSummary, PublishError>>),
    Deleted(Box<Worked<Tombstone>>),
    Named(Box<Worked<AliasEntry>>),
}

pub(crate) type Work = Pin<Box<dyn Future<Output = Done>>>;

fn reported<T>(worked: Worked<T>) -> Result<T, String> {
    worked.map_err(|error| format!("{error:?}"))
}

/// What an effect of the core asks for.
pub(super) fn of_effect(context: Context, effect: Effect) -> Work {
    let input = async move {
        match effect {
            Effect::Scan => Input::Scanned(reported(context.scan().await)),
            Effect::ReadCatalogue {
                region,
                digest,
                through,
                from,
            } => {
                let read = context.read_catalogue(&region, digest, through, from).await;
                Input::PeerCatalogue(region, reported(read))
            }
            Effect::Converge(actions) => {
                Input::ConvergeEnded(reported(context.converge(actions).await))
            }
            Effect::Fetch {
                version, sources, ..
            } => {
                let fetched = context.fetch(&version, &sources).await;
                Input::FetchEnded(version, reported(fetched))
            }
            Effect::CleanUp(tombstones) => {
                Input::Cleaned(reported(context.clean(tombstones).await))
            }
            Effect::FindLosses(versions) => {
                Input::LossesFound(reported(context.incomplete(versions).await))
            }
            // No work.
            _ => Input::Tick,
        }
    };
    Box::pin(async { Done::Replication(Box::new(input.await)) })
}

pub(super) fn of_question(context: Context, question: Question, ticket: Ticket) -> Work {
    Box::pin(async move {
        let answer = context.serve(question).await;
        Done::Answer(ticket, Box::new(answer))
    })
}

/// The act with this number.
pub(super) fn of_act(
    context: Context,
    act: Act,
    number: usize,
    model: ModelName,
    version: VersionName,
) -> Work {
    match act {
        Act::Publish { content, .. } => Box::pin(async move {
            let upload = upload(model, version, content);
            let published = context.publish(&upload).await;
            Done::Published(number, Box::new(published))
        }),
        Act::Delete { is_conflict, .. } => Box::pin(async move {
            let deleted = context.delete_version(&model, &version, is_conflict).await;
            Done::Deleted(Box::new(deleted))
        }),
        Act::Alias { .. } | Act::LoseFile { .. } => Box::pin(async move {
            let named = match VersionName::new("production") {
                Ok(alias) => context.name_version(&model, &version, &alias).await,
                Err(_) => Err(WorkError::NotFound),
            };
            Done::Named(Box::new(named))
        }),
    }
}
