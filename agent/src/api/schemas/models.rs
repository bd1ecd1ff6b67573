//! Objects of models and versions.

use super::object::{Field, Object};

pub(crate) const OBJECTS: &[Object] = &[
    (
        "Models",
        "Every model",
        &[(
            "models",
            "[Model]",
            "Every model that a region is known to hold",
        )],
    ),
    (
        "Model",
        "One model",
        &[
            ("model", "string", "Its name"),
            ("versions", "[HeldVersion]", "Its versions"),
            ("aliases", "[Alias]", "Its aliases"),
        ],
    ),
    (
        "HeldVersion",
        "One version, and where it is",
        &[
            ("version", "string", "Its name"),
            ("content", "string", "Digest of its content: its identity"),
            (
                "size",
                "integer?",
                "Bytes; null where the answering region does not hold it yet",
            ),
            (
                "published_ms",
                "time?",
                "When it was published; null likewise",
            ),
            ("origin", "string?", "Where it was published; null likewise"),
            ("regions", "[string]", "The regions that hold it, verified"),
            (
                "servable",
                "[string]",
                "Of these, the regions that have run an inference on it",
            ),
            (
                "unservable",
                "[Unservable]",
                "Of these, the regions that can't serve it",
            ),
            (
                "untested",
                "[string]",
                "Of these, the regions that have not tried it yet",
            ),
        ],
    ),
    (
        "Unservable",
        "A region that can't serve a version",
        &[
            ("region", "string", "The region"),
            (
                "reason",
                "string",
                "Why; empty if its agent has too many reasons to publish",
            ),
        ],
    ),
    (
        "Alias",
        "A name for a version",
        &[
            ("alias", "string", "The alias"),
            ("version", "string", "The version that it names"),
            ("set_ms", "time", "When it was set"),
            ("by", "string", "Who set it, as given"),
        ],
    ),
    (
        "Promoted",
        "An alias that was set",
        &[
            ("alias", "string", "The alias"),
            ("version", "string", "The version that it names"),
            ("set_ms", "time", "When it was set"),
            ("by", "string", "Who set it, as given"),
            (
                "warnings",
                "[string]",
                "Regions that can't serve the version now, and why",
            ),
        ],
    ),
    ("Version", "A version in brief", VERSION),
    (
        "VersionDetail",
        "A version with its files",
        &[
            VERSION[0],
            VERSION[1],
            VERSION[2],
            VERSION[3],
            VERSION[4],
            VERSION[5],
            ("publisher", "string", "Who published it, as given"),
            ("metadata", "{string}", "Free key/value pairs"),
            ("files", "[File]", "Its files"),
        ],
    ),
    (
        "File",
        "One file of a version",
        &[
            ("path", "string", "Path below the version's folder"),
            ("size", "integer", "Bytes"),
            ("digest", "string", "BLAKE3 of its bytes"),
            ("chunks", "integer", "How many chunks it has"),
        ],
    ),
    (
        "UploadBegun",
        "An upload",
        &[(
            "upload",
            "string",
            "Names the upload in the calls that follow",
        )],
    ),
    (
        "Uploads",
        "The uploads that are open at one agent",
        &[
            ("agent", "string", "The agent"),
            ("uploads", "[Upload]", "The longest idle first"),
        ],
    ),
    (
        "Upload",
        "One open upload",
        &[
            ("upload", "string", "Identifies the upload in later calls"),
            ("model", "string", "The model"),
            ("version", "string", "The version"),
            ("publisher", "string", "Who publishes, as given"),
            ("files", "integer", "Files that arrived whole"),
            ("bytes", "integer", "Their size"),
            ("receiving", "boolean", "Whether a file is arriving"),
            ("idle_ms", "age", "How long ago something was added"),
            (
                "expires_in_ms",
                "age",
                "When it is dropped if nothing is added",
            ),
        ],
    ),
];

const VERSION: &[Field] = &[
    ("model", "string", "The model"),
    ("version", "string", "The version"),
    ("content", "string", "Digest of its content: its identity"),
    ("size", "integer", "Bytes"),
    ("published_ms", "time", "When it was published"),
    ("origin", "string", "The region where it was published"),
];
