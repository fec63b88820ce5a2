//! Models that lie in folders of this machine, and registry folders that people meddle with.

use std::fs;
use std::path::Path;

use volley_model::Limits;
use volley_registry::{Error, ModelRef, Pin, Registry};

use crate::model::{artifact, onnx, registration};
use crate::stage::{Stage, folder};

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, content).expect("a file");
}

fn open(base: &Path) -> Registry {
    Registry::open("registry", base).expect("a good path")
}

async fn resolve(registry: &Registry, location: &str) -> Result<Pin, Error> {
    registry.resolve(&ModelRef::Location(location.to_owned())).await
}

/// What reading the model directory `model` is refused with.
async fn check_refused(base: &Path, code: &str, says: &str) {
    let error = open(base).read("./model").await.expect_err(code);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "`{says}` is not in: {error}");
}

#[tokio::test]
async fn a_path_and_its_url_give_the_same_model() {
    let base = folder();
    let file = base.path().join("models/double.onnx");
    write(&file, onnx(2.0));
    let url = format!("file://{}", file.display());
    for location in ["models/double.onnx", "./models/double.onnx", "models/../models/double.onnx", &url] {
        let pin = resolve(&open(base.path()), location).await.expect(location);
        assert_eq!((pin.name.as_str(), pin.version), ("double", None), "{location}");
        assert_eq!(pin.label(), location);
        assert_eq!(pin.location, format!("file://{}", fs::canonicalize(&file).expect("a path").display()));
        let files = open(folder().path()).fetch(&pin).await.expect("the files, whatever the base");
        assert_eq!(files.file("double.onnx"), Some(&onnx(2.0)), "{location}");
    }
}

#[tokio::test]
async fn a_directory_gives_all_its_files() {
    let base = folder();
    write(&base.path().join("model/model.onnx"), onnx(2.0));
    write(&base.path().join("model/data/weights.bin"), [1, 2, 3]);
    let artifact = open(base.path()).read("./model").await.expect("a model");
    assert_eq!(artifact.files().keys().collect::<Vec<_>>(), ["data/weights.bin", "model.onnx"]);
    assert_eq!(artifact.file("data/weights.bin").map(|bytes| bytes.as_ref()), Some(&[1, 2, 3][..]));
}

#[tokio::test]
async fn a_folder_that_only_holds_models_is_none() {
    let base = folder();
    write(&base.path().join("model/trained/MLmodel"), "flavors: {}");
    write(&base.path().join("model/trained/model.onnx"), onnx(2.0));
    write(&base.path().join("model/data.parquet"), [0]);
    check_refused(base.path(), "model_location_missing", "trained").await;
    write(&base.path().join("model/net.onnx"), onnx(2.0));
    check_refused(base.path(), "model_location_missing", "trained").await;
    fs::remove_dir_all(base.path().join("model/trained")).expect("a folder");
    open(base.path()).read("./model").await.expect("one .onnx file is a model");
    write(&base.path().join("model/other.onnx"), onnx(2.0));
    check_refused(base.path(), "model_location_missing", "several").await;
}

#[tokio::test]
async fn an_onnx_file_brings_the_tensor_data_beside_it_and_nothing_else() {
    let base = folder();
    for name in ["net.onnx", "net.onnx.data", "net.onnx_data", "other.onnx", "net.onnx.txt"] {
        write(&base.path().join(name), onnx(1.0));
    }
    let artifact = open(base.path()).read("net.onnx").await.expect("a model");
    assert_eq!(artifact.files().keys().collect::<Vec<_>>(), ["net.onnx", "net.onnx.data", "net.onnx_data"]);
}

#[tokio::test]
async fn statements_may_have_another_base_than_the_registry() {
    let (settings, working) = (folder(), folder());
    write(&working.path().join("net.onnx"), onnx(1.0));
    let registry = open(settings.path()).with_base(working.path());
    assert_eq!(resolve(&registry, "net.onnx").await.expect("a pin").name, "net");
    assert!(registry.url().ends_with("/registry"), "{}", registry.url());
}

#[tokio::test]
async fn a_registry_path_is_relative_to_its_base_however_it_is_written() {
    let base = folder();
    let root = fs::canonicalize(base.path()).expect("a path");
    let url = format!("file://{}", root.join("registry").display());
    for path in ["registry", "./registry/", "missing/../registry", "missing/deep/../../registry", &url] {
        let registry = Registry::open(path, base.path()).expect(path);
        assert_eq!(registry.url(), url, "{path}");
    }
    assert!(!base.path().join("registry").exists(), "opening makes nothing");
}

#[tokio::test]
async fn what_is_no_model_is_refused() {
    let base = folder();
    write(&base.path().join("notes.md"), "");
    for (location, code) in [
        ("./nothing", "model_location_missing"),
        ("nothing.onnx", "model_location_missing"),
        ("./notes.md", "model_location_missing"),
        ("./notes.md/model", "model_location_missing"),
        ("s3://bucket/model", "unsupported_location"),
        ("https://host/net.onnx", "unsupported_location"),
    ] {
        let error = resolve(&open(base.path()), location).await.expect_err(location);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(location), "{error}");
    }
    let error = Registry::open("file:registry", base.path()).expect_err("no path");
    assert_eq!(error.code(), "unsupported_location", "{error}");
    write(&base.path().join("broken.onnx"), "no graph");
    let error = resolve(&open(base.path()), "broken.onnx").await.expect_err("no model");
    assert_eq!(error.code(), "model_invalid", "{error}");
}

#[tokio::test]
async fn a_registry_of_an_unread_scheme_is_refused() {
    let error = Registry::open("s3://bucket/registry", folder().path()).expect_err("no store");
    assert_eq!(error.code(), "unsupported_location");
}

#[cfg(unix)]
#[tokio::test]
async fn links_stay_in_the_model_directory() {
    use std::os::unix::fs::symlink;
    let base = folder();
    let model = base.path().join("model");
    write(&model.join("model.onnx"), onnx(1.0));
    write(&base.path().join("secret"), "secret");

    symlink("model.onnx", model.join("inside.bin")).expect("a link");
    let read = open(base.path()).read("./model").await.expect("a model");
    assert_eq!(read.file("inside.bin"), Some(&onnx(1.0)));

    for target in ["../secret", "/dev/zero"] {
        symlink(target, model.join("link")).expect("a link");
        check_refused(base.path(), "model_path_escape", "`link` in the model directory is a link that leads out").await;
        fs::remove_file(model.join("link")).expect("the link");
    }
    symlink(".", model.join("loop")).expect("a link");
    check_refused(base.path(), "model_path_escape", "`loop` in the model directory is a link to a directory").await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_among_the_files_is_refused() {
    let base = folder();
    write(&base.path().join("model/model.onnx"), onnx(1.0));
    let _socket = std::os::unix::net::UnixListener::bind(base.path().join("model/socket")).expect("a socket");
    check_refused(base.path(), "model_path_escape", "`socket` in the model directory is not a regular file").await;
}

#[tokio::test]
async fn a_model_of_too_many_bytes_is_refused() {
    let base = folder();
    let limits = Limits { file_bytes_max: 1000, ..Limits::default() };
    write(&base.path().join("model/MLmodel"), "");
    write(&base.path().join("model/a"), [0; 600]);
    write(&base.path().join("model/b"), [0; 400]);
    open(base.path()).with_limits(limits).read("./model").await.expect("a thousand bytes fit");
    write(&base.path().join("model/c"), [0; 1]);
    let error = open(base.path()).with_limits(limits).read("./model").await.expect_err("one more does not");
    assert_eq!(error.code(), "model_too_large");
    assert!(error.to_string().contains("1000 bytes"), "{error}");
}

#[tokio::test]
async fn a_huge_file_beside_a_model_is_refused_before_it_is_read() {
    let base = folder();
    write(&base.path().join("model/model.onnx"), onnx(1.0));
    let huge = std::fs::File::create(base.path().join("model/core")).expect("a file");
    huge.set_len(1 << 40).expect("a file with a hole");
    check_refused(base.path(), "model_too_large", "2147483648 bytes").await;
}

#[tokio::test]
async fn a_model_of_too_many_files_is_refused() {
    let base = folder();
    write(&base.path().join("model/MLmodel"), "");
    for file in 1..=10_000 {
        write(&base.path().join(format!("model/{file}")), "");
    }
    check_refused(base.path(), "model_too_large", "10000 files").await;
}

#[tokio::test]
async fn a_folder_that_changed_after_it_was_pinned_is_refused() {
    let base = folder();
    write(&base.path().join("net.onnx"), onnx(1.0));
    let registry = open(base.path());
    let pin = resolve(&registry, "net.onnx").await.expect("a pin");
    write(&base.path().join("net.onnx"), onnx(2.0));
    let now = resolve(&registry, "net.onnx").await.expect("a pin");

    let error = registry.fetch(&pin).await.expect_err("another model");
    assert_eq!(error.code(), "digest_mismatch");
    for part in ["net.onnx", pin.sha256.short(), now.sha256.short()] {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
    fs::remove_file(base.path().join("net.onnx")).expect("the file");
    assert_eq!(registry.fetch(&pin).await.expect_err("no model").code(), "model_location_missing");
}

/// What fetching `churn/1` is refused with after `meddle` was at the folder of its files.
async fn check_meddled(meddle: fn(&Path), code: &str) {
    let stage = Stage::file();
    stage.registry.register("churn", &registration(1.0)).await.expect("a version");
    let pin = stage.registry.resolve(&"churn".parse().expect("a reference")).await.expect("a pin");
    let files = stage.folder.path().join(".volley/registry/artifacts").join(pin.sha256.as_str());
    meddle(&files);
    let error = stage.registry.fetch(&pin).await.expect_err(code);
    assert_eq!(error.code(), code, "{error}");
    assert!(!error.is_transient());

    stage.registry.register("churn", &registration(1.0)).await.expect("a version");
    assert_eq!(stage.registry.fetch(&pin).await.expect("mended files"), artifact(1.0));
}

#[tokio::test]
async fn registered_files_that_were_replaced_are_refused_and_mended_by_registering_again() {
    check_meddled(|files| write(&files.join("files/model.onnx"), onnx(2.0)), "digest_mismatch").await;
    check_meddled(|files| write(&files.join("files/model.onnx"), [0; 5000]), "digest_mismatch").await;
    check_meddled(|files| write(&files.join("files/model.onnx"), ""), "digest_mismatch").await;
    check_meddled(|files| write(&files.join("manifest.json"), "[]"), "digest_mismatch").await;
    check_meddled(|files| write(&files.join("manifest.json"), "{"), "registry_corrupt").await;
    check_meddled(|files| fs::remove_file(files.join("files/model.onnx")).expect("the file"), "registry_corrupt").await;
    check_meddled(|files| fs::remove_file(files.join("manifest.json")).expect("the file"), "registry_corrupt").await;
}

#[tokio::test]
async fn a_record_that_lies_under_another_name_is_refused() {
    let stage = Stage::file();
    stage.registry.register("churn", &registration(1.0)).await.expect("a version");
    let models = stage.folder.path().join(".volley/registry/models");
    fs::rename(models.join("churn"), models.join("other")).expect("a folder");
    let error = stage.registry.version("other", 1).await.expect_err("no version");
    assert_eq!(error.code(), "registry_corrupt");
    assert!(error.to_string().contains("it is the record of `churn/1`"), "{error}");
}

#[tokio::test]
async fn a_registry_folder_reads_the_same_wherever_it_is_put() {
    let stage = Stage::file();
    stage.registry.register("churn", &registration(1.0)).await.expect("a version");
    stage.registry.set_alias("churn", "champion", 1).await.expect("an alias");
    let moved = stage.folder.path().join("moved");
    fs::rename(stage.folder.path().join(".volley/registry"), &moved).expect("a folder");

    let registry = Registry::open("moved", stage.folder.path()).expect("a good path");
    let pin = registry.resolve(&"churn@champion".parse().expect("a reference")).await.expect("a pin");
    assert_eq!(registry.fetch(&pin).await.expect("the files"), artifact(1.0));

    let record = fs::read_to_string(moved.join("models/churn/versions/0000000001.json")).expect("the record");
    assert!(record.starts_with("{\n  \"format\": 1,\n") && record.ends_with("}\n"), "{record}");
    assert!(!record.contains(&*stage.folder.path().to_string_lossy()), "{record}");
    let alias = fs::read_to_string(moved.join("models/churn/aliases/champion.json")).expect("the alias");
    assert_eq!(alias, "{\n  \"version\": 1\n}\n");
}
