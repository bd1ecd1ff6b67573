//! Objects of probes, and the answers that many routes share.

use super::object::Object;

pub(crate) const OBJECTS: &[Object] = &[
    (
        "Done",
        "It was done",
        &[("done", "string", "What was done")],
    ),
    (
        "Healthz",
        "Health of the actors",
        &[
            (
                "healthy",
                "boolean",
                "Whether restarting the process would not help",
            ),
            ("actors", "{Actor}", "Every actor by its name"),
        ],
    ),
    (
        "Actor",
        "One actor",
        &[
            ("running", "boolean", "Whether it runs now"),
            ("restarts", "integer", "How often it was started again"),
            ("last_error", "string?", "Why it last ended"),
        ],
    ),
    (
        "Readyz",
        "Whether the agent can answer for the mesh",
        &[
            ("ready", "boolean", "Whether every check holds"),
            (
                "checks",
                "{string}",
                "actors, gossip, mesh, plan, store, catalogues, stopping: ok, or what is wrong",
            ),
        ],
    ),
    (
        "Verdict",
        "The verdict on a region",
        &[
            ("region", "string", "The region"),
            ("verdict", "condition", "The verdict"),
            ("reason", "string", "Why"),
        ],
    ),
    (
        "Error",
        "Why a request was not carried out",
        &[
            ("error", "string", "What was wrong"),
            ("hint", "string~", "What to do"),
            (
                "code",
                "string~",
                "A code for programs, to distinguish errors of the same status",
            ),
        ],
    ),
];
