//! What a registry promises, whatever it lies in.

use std::collections::BTreeSet;

use bytes::Bytes;
use tokio::task::JoinSet;
use volley_model::NullRule;
use volley_registry::{Error, Golden, ModelRef, Registry, Which};

use crate::model::{artifact, registration};
use crate::stage::Stage;

/// One test for each promise and store.
macro_rules! every_store_holds {
    ($($promise:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::Stage::memory().registry).await;
            })*
        }
        mod in_a_folder {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                let stage = super::Stage::file();
                super::$promise(stage.registry.clone()).await;
            })*
        }
    };
}

every_store_holds!(
    a_new_registry_is_empty,
    a_version_gives_back_what_was_registered,
    versions_count_from_one,
    names_may_hold_spaces_and_other_letters,
    sixteen_at_once_make_sixteen_versions,
    latest_version_and_alias_resolve_to_what_they_mean,
    a_pin_outlives_alias_version_and_model,
    a_deleted_number_is_not_given_again,
    deleting_a_version_takes_its_aliases_along,
    a_deleted_model_goes_on_counting,
    a_wrong_name_is_told_the_nearest,
    a_wrong_version_or_alias_is_told_what_there_is,
    an_alias_points_to_versions_that_are_there,
    names_that_no_reference_could_name_are_refused,
    the_same_files_lie_there_once_and_have_two_numbers,
);

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, code: &str, says: &str) {
    let error = result.expect_err(code);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "`{says}` is not in: {error}");
    assert!(!error.is_transient(), "{error}");
}

async fn resolved(registry: &Registry, reference: &str) -> Result<(String, Option<u64>), Error> {
    let reference: ModelRef = reference.parse()?;
    let pin = registry.resolve(&reference).await?;
    assert_eq!(pin.reference, reference.to_string());
    Ok((pin.label(), pin.version))
}

async fn register(registry: &Registry, name: &str, factors: &[f32]) {
    for factor in factors {
        registry.register(name, &registration(*factor)).await.expect("a version");
    }
}

async fn a_new_registry_is_empty(registry: Registry) {
    assert_eq!(registry.names().await.expect("an answer"), Vec::<String>::new());
    assert_eq!(registry.models().await.expect("an answer"), []);
    refused(registry.versions("churn").await, "unknown_model", "`churn`");
}

async fn a_version_gives_back_what_was_registered(registry: Registry) {
    let mut given = registration(2.0);
    given.contract.set_null_rule("x", NullRule::Error).expect("an input");
    given.tags.insert("owner".to_owned(), "team a".to_owned());
    let golden = Golden { input: Bytes::from("in"), expected: Bytes::from("out"), key: Some("id".to_owned()) };
    given.golden = Some(golden.clone());
    let made = registry.register("churn", &given).await.expect("a version");
    registry.set_alias("churn", "champion", 1).await.expect("an alias");

    let found = registry.version("churn", 1).await.expect("the version");
    assert_eq!((found.name.as_str(), found.version), ("churn", 1));
    assert_eq!(found.contract, given.contract);
    assert_eq!(found.tags, given.tags);
    assert_eq!(found.sha256, artifact(2.0).digest());
    assert_eq!(&found.files, artifact(2.0).manifest());
    assert_eq!(found.created.timestamp(), given.created.timestamp());
    assert_eq!(found.aliases, ["champion"]);
    assert_eq!(made, volley_registry::Version { aliases: vec![], ..found });
    assert_eq!(registry.golden("churn", 1).await.expect("an answer"), Some(golden));

    let pin = registry.resolve(&"churn".parse().expect("a reference")).await.expect("a pin");
    assert_eq!(pin.contract, given.contract);
    assert_eq!(registry.fetch(&pin).await.expect("the files"), artifact(2.0));
}

async fn versions_count_from_one(registry: Registry) {
    register(&registry, "churn", &[1.0, 2.0, 3.0]).await;
    register(&registry, "other", &[1.0]).await;
    let versions = registry.versions("churn").await.expect("versions");
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(versions[2].sha256, artifact(3.0).digest());
    let models = registry.models().await.expect("models");
    assert_eq!(
        models.iter().map(|model| (model.name.as_str(), model.latest)).collect::<Vec<_>>(),
        [("churn", 3), ("other", 1)]
    );
    assert_eq!(registry.golden("churn", 1).await.expect("an answer"), None);
}

async fn names_may_hold_spaces_and_other_letters(registry: Registry) {
    for name in ["Churn 2.0", "modèle", "100%", "a#1", "m*?[x]~\\"] {
        register(&registry, name, &[1.0]).await;
        registry.set_alias(name, "übung", 1).await.expect(name);
        let reference = format!("models:/{name}@übung");
        assert_eq!(resolved(&registry, &reference).await.expect(name).1, Some(1), "{name}");
        assert!(registry.names().await.expect("names").contains(&name.to_owned()), "{name}");
    }
}

async fn sixteen_at_once_make_sixteen_versions(registry: Registry) {
    let mut tasks = JoinSet::new();
    for task in 0..16u8 {
        let registry = registry.clone();
        let registration = registration(f32::from(task));
        tasks.spawn(async move { registry.register("churn", &registration).await });
    }
    let made: Vec<_> = tasks.join_all().await.into_iter().map(|made| made.expect("a version")).collect();

    let numbers: BTreeSet<u64> = made.iter().map(|version| version.version).collect();
    assert_eq!(numbers, (1..=16).collect());
    for version in made {
        assert_eq!(registry.version("churn", version.version).await.expect("the version"), version);
    }
}

async fn latest_version_and_alias_resolve_to_what_they_mean(registry: Registry) {
    register(&registry, "churn", &[1.0, 2.0, 3.0]).await;
    registry.set_alias("churn", "champion", 2).await.expect("an alias");
    for (reference, version) in [
        ("churn", 3),
        ("churn/latest", 3),
        ("models:/churn/Latest", 3),
        ("churn/1", 1),
        ("models:/churn/1", 1),
        ("churn@champion", 2),
        ("models:/churn@champion", 2),
    ] {
        let found = resolved(&registry, reference).await.expect(reference);
        assert_eq!(found, (format!("churn/{version}"), Some(version)), "{reference}");
    }
    registry.set_alias("churn", "champion", 1).await.expect("an alias moves");
    assert_eq!(resolved(&registry, "churn@champion").await.expect("a pin").1, Some(1));
    registry.delete_alias("churn", "champion").await.expect("an alias goes");
    refused(resolved(&registry, "churn@champion").await, "unknown_alias", "it has none");
}

async fn a_pin_outlives_alias_version_and_model(registry: Registry) {
    register(&registry, "churn", &[1.0, 2.0]).await;
    registry.set_alias("churn", "champion", 1).await.expect("an alias");
    let pin = registry.resolve(&"churn@champion".parse().expect("a reference")).await.expect("a pin");

    registry.set_alias("churn", "champion", 2).await.expect("an alias moves");
    assert_eq!(registry.fetch(&pin).await.expect("the files"), artifact(1.0));
    registry.delete_model("churn").await.expect("a model goes");
    assert_eq!(registry.fetch(&pin).await.expect("the files"), artifact(1.0));
}

async fn a_deleted_number_is_not_given_again(registry: Registry) {
    register(&registry, "churn", &[1.0, 2.0, 3.0]).await;
    registry.delete_version("churn", 3).await.expect("a version goes");
    refused(registry.version("churn", 3).await, "unknown_version", "was deleted");
    refused(registry.delete_version("churn", 3).await, "unknown_version", "was deleted");
    assert_eq!(resolved(&registry, "churn").await.expect("a pin").1, Some(2));
    assert_eq!(registry.register("churn", &registration(4.0)).await.expect("a version").version, 4);
}

async fn deleting_a_version_takes_its_aliases_along(registry: Registry) {
    register(&registry, "churn", &[1.0, 2.0]).await;
    for (alias, version) in [("a", 1), ("b", 2), ("c", 2)] {
        registry.set_alias("churn", alias, version).await.expect("an alias");
    }
    registry.delete_version("churn", 2).await.expect("a version goes");
    refused(resolved(&registry, "churn@b").await, "unknown_alias", "it has `a`");
    assert_eq!(registry.models().await.expect("models")[0].aliases, [("a".to_owned(), 1)].into());
}

async fn a_deleted_model_goes_on_counting(registry: Registry) {
    register(&registry, "churn", &[1.0, 2.0]).await;
    registry.set_alias("churn", "champion", 1).await.expect("an alias");
    registry.delete_model("churn").await.expect("a model goes");
    refused(registry.versions("churn").await, "unknown_model", "`churn`");
    refused(registry.delete_model("churn").await, "unknown_model", "`churn`");
    assert_eq!(registry.names().await.expect("names"), Vec::<String>::new());

    register(&registry, "churn", &[3.0]).await;
    assert_eq!(resolved(&registry, "churn").await.expect("a pin"), ("churn/3".to_owned(), Some(3)));
    refused(resolved(&registry, "churn@champion").await, "unknown_alias", "it has none");
}

async fn a_wrong_name_is_told_the_nearest(registry: Registry) {
    register(&registry, "churn", &[1.0]).await;
    register(&registry, "flights", &[1.0]).await;
    refused(resolved(&registry, "chrun").await, "unknown_model", "did you mean `churn`?");
    refused(resolved(&registry, "Flights").await, "unknown_model", "did you mean `flights`?");
    refused(resolved(&registry, "basket").await, "unknown_model", "a folder or file is written `./basket`");
}

async fn a_wrong_version_or_alias_is_told_what_there_is(registry: Registry) {
    register(&registry, "churn", &[1.0; 10]).await;
    registry.set_alias("churn", "champion", 2).await.expect("an alias");
    refused(resolved(&registry, "churn/11").await, "unknown_version", "has no version 11: it has 10, 9, 8");
    refused(resolved(&registry, "churn/0").await, "unknown_version", "has no version 0");
    refused(resolved(&registry, "churn@chamption").await, "unknown_alias", "it has `champion`");
    refused(registry.golden("churn", 12).await, "unknown_version", "12");
    refused(registry.delete_alias("churn", "other").await, "unknown_alias", "it has `champion`");
}

async fn an_alias_points_to_versions_that_are_there(registry: Registry) {
    register(&registry, "churn", &[1.0]).await;
    refused(registry.set_alias("churn", "champion", 2).await, "unknown_version", "version 2");
    refused(registry.set_alias("other", "champion", 1).await, "unknown_model", "`other`");
    refused(registry.set_alias("churn", "latest", 1).await, "invalid_name", "`latest`");
}

async fn names_that_no_reference_could_name_are_refused(registry: Registry) {
    for name in ["", "a/b", "a:b", "a@b", "..", "net.onnx", &"n".repeat(256)] {
        refused(registry.register(name, &registration(1.0)).await, "invalid_name", "cannot be the name of a model");
    }
    assert_eq!(registry.names().await.expect("names"), Vec::<String>::new());
}

async fn the_same_files_lie_there_once_and_have_two_numbers(registry: Registry) {
    register(&registry, "churn", &[1.0, 1.0]).await;
    let pins = [1, 2].map(|version| ModelRef::Registered { name: "churn".to_owned(), which: Which::Number(version) });
    let [first, second] = [registry.resolve(&pins[0]).await, registry.resolve(&pins[1]).await];
    let (first, second) = (first.expect("a pin"), second.expect("a pin"));
    assert_eq!(first.location, second.location);
    assert!(first.location.ends_with(&format!("/artifacts/{}", artifact(1.0).digest())), "{}", first.location);
}
