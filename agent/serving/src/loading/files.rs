//! Which of a version's files are read.

use super::error::LoadError;

/// `model.onnx`, else the only `.onnx` file.
pub(super) fn model_file(files: &[(String, u64)]) -> Result<(String, u64), LoadError> {
    let found: Vec<_> = files
        .iter()
        .filter(|(path, _)| path.ends_with(".onnx"))
        .collect();
    let named = found.iter().find(|(path, _)| path == "model.onnx");

    match (named, &found[..]) {
        (Some(file), _) => Ok((**file).clone()),
        (None, [file]) => Ok((*file).clone()),
        (None, []) => Err(LoadError::Unservable(
            "it has no .onnx file, the only format that is served here".into(),
        )),
        (None, _) => {
            let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
            Err(LoadError::Unservable(format!(
                "it has several .onnx files and none is model.onnx: {paths:?}"
            )))
        }
    }
}

pub(super) fn file_size(files: &[(String, u64)], name: &str) -> Result<u64, LoadError> {
    files
        .iter()
        .find(|(path, _)| path == name)
        .map(|(_, size)| *size)
        .ok_or_else(|| {
            LoadError::Unservable(format!(
                "its weights are in a file that the version does not have: {name:?}"
            ))
        })
}
