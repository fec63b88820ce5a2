//! Which crate may know which: the table of `docs/architecture.md`, checked against the manifests.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::tree::root;

const TABLE_HEAD: &str = "| crate | in one sentence | rests on | must never know |";

/// The crates that the words of the table's last column stand for. What has none is left to whoever reads.
const WORDS: [(&str, &[&str]); 17] = [
    ("Arrow", &["arrow"]),
    ("async", &["tokio"]),
    ("files", &[]),
    ("network", &["reqwest"]),
    ("DataFusion", &["datafusion"]),
    ("where a model came from", &["volley-registry"]),
    ("SQL", &["datafusion", "volley-predict"]),
    ("models", &["tract", "volley-model"]),
    ("stores", &["object_store"]),
    ("jobs", &["volley-jobs"]),
    ("Ballista", &["ballista"]),
    ("HTTP", &["axum", "reqwest"]),
    ("the command line", &["clap", "indicatif"]),
    ("SQL engines", &["ballista", "datafusion", "volley-engine"]),
    ("HTTP pages", &["axum"]),
    ("the environment", &[]),
    ("–", &[]),
];

/// A row of the table.
struct Row {
    name: String,
    /// Exactly the crates of ours that it names in its manifest.
    rests_on: BTreeSet<String>,
    /// Words for what it must never know.
    never: Vec<String>,
}

/// What a crate must never know, as crates from outside: more than the table has words for.
struct Room {
    name: &'static str,
    /// Crates from outside, and all that start with their names, which must not even be reached
    /// through another crate.
    never: &'static [&'static str],
    /// The same for its own manifest: a lower crate may need them.
    never_itself: &'static [&'static str],
}

const ROOMS: [Room; 11] = [
    Room {
        name: "volley-onnx",
        never: &["arrow", "parquet", "datafusion", "object_store", "reqwest", "tokio"],
        never_itself: &["anyhow", "serde"],
    },
    Room {
        name: "volley-model",
        never: &["datafusion", "object_store", "parquet", "reqwest", "tokio"],
        never_itself: &["anyhow"],
    },
    Room { name: "volley-registry", never: &["ballista", "datafusion", "parquet"], never_itself: &["anyhow", "arrow"] },
    Room {
        name: "volley-commit",
        never: &["arrow", "ballista", "datafusion", "parquet", "tract"],
        never_itself: &["anyhow"],
    },
    Room {
        name: "volley-predict",
        never: &["axum", "ballista", "rusqlite"],
        never_itself: &["anyhow", "object_store", "reqwest"],
    },
    Room { name: "volley-connect", never: &["axum", "ballista", "rusqlite", "tract"], never_itself: &["anyhow"] },
    Room {
        name: "volley-engine",
        never: &["axum", "ballista", "clap", "indicatif", "rusqlite"],
        never_itself: &["anyhow"],
    },
    Room {
        name: "volley-jobs",
        never: &["arrow", "axum", "ballista", "datafusion", "object_store", "reqwest", "tract"],
        never_itself: &["anyhow"],
    },
    Room {
        name: "volley-cluster",
        never: &["clap", "indicatif", "rusqlite"],
        never_itself: &["anyhow", "object_store", "tract"],
    },
    Room {
        name: "volley-server",
        never: &["clap", "indicatif"],
        never_itself: &["anyhow", "ballista", "datafusion", "object_store", "reqwest", "rusqlite"],
    },
    Room { name: "volley", never: &[], never_itself: &["axum", "ballista", "datafusion", "object_store", "rusqlite"] },
];

/// A crate as its manifest has it; dependencies for tests and builds aside.
struct Manifest {
    name: String,
    dependencies: BTreeSet<String>,
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo runs these tests");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

fn manifests() -> Vec<Manifest> {
    let text = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("metadata lists packages");
    let in_crates = |package: &&Value| package["manifest_path"].as_str().is_some_and(|path| path.contains("/crates/"));
    packages.iter().filter(in_crates).map(manifest).collect()
}

fn manifest(package: &Value) -> Manifest {
    let text = |value: &Value| value.as_str().expect("a name is text").to_owned();
    let dependencies = package["dependencies"].as_array().expect("a package lists dependencies");
    let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
    Manifest {
        name: text(&package["name"]),
        dependencies: normal.map(|dependency| text(&dependency["name"])).collect(),
    }
}

/// Every crate that `name` is built with.
fn reached(name: &str) -> BTreeSet<String> {
    let tree =
        cargo(&["tree", "--package", name, "--edges", "normal", "--offline", "--prefix", "none", "--format", "{p}"]);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// `arrow` names `arrow` and `arrow-array`.
fn named<'a>(crates: &'a BTreeSet<String>, family: &str) -> Vec<&'a str> {
    let is_member =
        |name: &&str| name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']));
    crates.iter().map(String::as_str).filter(is_member).collect()
}

fn table() -> Vec<Row> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    let rows = page.lines().skip_while(|line| *line != TABLE_HEAD).skip(2).take_while(|line| line.starts_with('|'));
    rows.map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [name, _, rests_on, never] = cells[..] else { panic!("not four cells: {line}") };
    let words = |cell: &str| cell.split([',', ';']).map(|word| word.trim().to_owned()).collect::<Vec<_>>();
    let is_ours = |name: &String| root().join("crates").join(name).is_dir();
    let rests_on = words(rests_on).iter().map(|word| format!("volley-{word}")).filter(is_ours).collect();
    Row { name: name.trim_matches('`').to_owned(), rests_on, never: words(never) }
}

#[test]
fn every_crate_has_its_row_in_the_table() {
    let crates: BTreeSet<String> = manifests().into_iter().map(|manifest| manifest.name).collect();
    let rows: BTreeSet<String> = table().into_iter().map(|row| row.name).collect();
    let rooms: BTreeSet<String> = ROOMS.iter().map(|room| room.name.to_owned()).collect();
    assert_eq!((&rows, &rooms), (&crates, &crates));
}

#[test]
fn a_crate_rests_on_exactly_the_crates_of_its_row() {
    let manifests = manifests();
    for row in table() {
        let manifest = manifests.iter().find(|manifest| manifest.name == row.name).expect("a row of a crate");
        let named: BTreeSet<_> = named(&manifest.dependencies, "volley").into_iter().map(str::to_owned).collect();
        assert_eq!(named, row.rests_on, "{}", row.name);
    }
}

#[test]
fn a_crate_never_names_what_its_row_forbids() {
    let manifests = manifests();
    for row in table() {
        let manifest = manifests.iter().find(|manifest| manifest.name == row.name).expect("a row of a crate");
        for word in &row.never {
            let known = WORDS.iter().find(|(known, _)| known == word);
            let (_, families) = known.unwrap_or_else(|| panic!("{}: no crates are known for `{word}`", row.name));
            for family in *families {
                assert_eq!(named(&manifest.dependencies, family), [""; 0], "{} must not name {family}", row.name);
            }
        }
    }
}

#[test]
fn a_crate_never_names_what_it_must_not_know() {
    let manifests = manifests();
    for room in &ROOMS {
        let manifest = manifests.iter().find(|manifest| manifest.name == room.name).expect(room.name);
        for family in room.never_itself {
            assert_eq!(named(&manifest.dependencies, family), [""; 0], "{} must not name {family}", room.name);
        }
    }
}

#[test]
fn a_crate_never_reaches_what_it_must_not_know() {
    for room in &ROOMS {
        let reached = reached(room.name);
        assert!(reached.contains(room.name), "cargo tree gave nothing for {}", room.name);
        for family in room.never {
            assert_eq!(named(&reached, family), [""; 0], "{} must not reach {family}", room.name);
        }
    }
}
