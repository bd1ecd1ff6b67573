//! Suspects load alone; the model file is found.

use super::*;
use crate::source::Directory;

#[tokio::test]
async fn a_suspect_is_loaded_alone_and_cleared_when_its_load_ends() {
    let models = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let model: ModelName = "m".parse().unwrap();
    let version: VersionName = "1".parse().unwrap();
    let content = Digest([7; 32]);

    std::fs::create_dir_all(models.path().join("m/1")).unwrap();
    std::fs::write(models.path().join("m/1/model.onnx"), b"damaged").unwrap();

    let before = Quarantine::open(Some(state.path()));
    // Simulates a crash: nothing is dropped.
    for name in ["1", "2"] {
        std::mem::forget(before.mark(&(model.clone(), name.parse().unwrap(), content)));
    }

    let quarantine = Quarantine::open(Some(state.path()));
    let loading = Loading::new(LoadingArguments {
        source: Arc::new(Directory::new(models.path(), "here".parse().unwrap())),
        config: ServingConfig::default(),
        metrics: ServingMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap(),
        quarantine: quarantine.clone(),
        outcomes: Arc::new(Outcomes::open(None, String::new())),
    });

    let other = loading.computing.read().await;
    let mut load = Box::pin(loading.load(&model, &version, content, None, || false));
    assert!(
        tokio::time::timeout(Duration::from_millis(200), load.as_mut())
            .await
            .is_err()
    );

    drop(other);
    assert!(matches!(load.await, Err(LoadError::Unservable(_))));
    assert!(!quarantine.is_suspect(&(model, version, content)));
}

#[test]
fn the_model_file_is_model_onnx_or_the_only_onnx_file() {
    let files = |paths: &[&str]| {
        paths
            .iter()
            .map(|path| ((*path).to_owned(), 1))
            .collect::<Vec<_>>()
    };

    assert_eq!(
        model_file(&files(&["a.onnx", "model.onnx"])).unwrap().0,
        "model.onnx"
    );

    assert_eq!(
        model_file(&files(&["a.onnx", "labels.txt"])).unwrap().0,
        "a.onnx"
    );

    assert!(model_file(&files(&["a.onnx", "b.onnx"])).is_err());
    assert!(model_file(&files(&["weights.bin"])).is_err());
}
