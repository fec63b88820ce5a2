//! Model files with broken bytes: each is refused or scored, in bounded time, and nothing panics.
//!
//! A run of the tests tries a few hundred files of each kind. `FUZZ_SECONDS=600 cargo test --release -p volley-model
//! --test fuzz -- --nocapture --test-threads 1` tries as many as there are in ten minutes for each kind, beginning
//! with another one every time; a name at the end chooses one kind.

mod mutation;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use volley_model::{Artifact, Limits, ModelError, Runtimes, inspect, try_out};

use mutation::{Random, mutated};

/// Files that are tried without being asked for more.
const FILES: u64 = 150;

/// Files of one kind.
struct Kind {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    artifact: fn(Vec<u8>) -> Artifact,
}

/// What became of the files of a run.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    scored: u64,
    /// By code.
    refused: BTreeMap<&'static str, u64>,
    slowest: Duration,
}

impl Kind {
    fn check(&self) {
        assert!(!self.seeds.is_empty(), "{} has files to begin with", self.name);
        let asked = std::env::var("FUZZ_SECONDS").ok().map(|seconds| seconds.parse().expect("a number of seconds"));
        let until = asked.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let first = match until {
            None => 0,
            Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64,
        };
        let mut tally = Tally::default();
        while until.map_or(tally.files < FILES, |until| Instant::now() < until) {
            let seed = first.wrapping_add(tally.files);
            self.try_one(seed, &mut tally);
        }
        println!("{}: {tally:?}", self.name);
        assert!(!tally.refused.is_empty(), "some of the files are broken: {tally:?}");
    }

    fn try_one(&self, seed: u64, tally: &mut Tally) {
        let mut random = Random::new(seed);
        let [bytes, other] = [0; 2].map(|_| &self.seeds[random.below(self.seeds.len())]);
        let artifact = (self.artifact)(mutated(bytes, other, &mut random));
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| scored(&artifact)));
        tally.files += 1;
        tally.slowest = tally.slowest.max(start.elapsed());
        match outcome {
            Ok(Ok(())) => tally.scored += 1,
            Ok(Err(error)) => *tally.refused.entry(error.code()).or_default() += 1,
            Err(_) => panic!("file {seed} of {} lets a panic escape", self.name),
        }
    }
}

fn scored(artifact: &Artifact) -> Result<(), ModelError> {
    let limits = Limits {
        file_bytes_max: 16 << 20,
        nodes_max: 10_000,
        constant_bytes_max: 64 << 20,
        load_time_max: Duration::from_secs(2),
    };
    let contract = inspect(artifact, &limits)?;
    try_out(artifact, &contract, &Runtimes::default(), &limits).map(drop)
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/models")
}

/// The files below a folder whose names end so, the largest left out: they are slow and break no other way.
fn files(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    const BYTES_MAX: usize = 100_000;
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        for path in entries {
            match path.is_dir() {
                true => open.push(path),
                false if path.to_string_lossy().ends_with(ending) => found.push(std::fs::read(path).expect("bytes")),
                false => {}
            }
        }
    }
    found.retain(|bytes| bytes.len() <= BYTES_MAX);
    found
}

/// Files of XGBoost and LightGBM in every configuration.
fn natives(ending: &str) -> Vec<Vec<u8>> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/native"), ending)
}

fn bare(name: &str, bytes: Vec<u8>) -> Artifact {
    Artifact::new([(name.to_owned(), Bytes::from(bytes))].into())
}

#[test]
fn onnx() {
    Kind { name: "ONNX", seeds: files(&fixtures(), ".onnx"), artifact: |bytes| bare("model.onnx", bytes) }.check();
}

#[test]
fn xgboost_json() {
    Kind { name: "XGBoost JSON", seeds: natives(".json"), artifact: |bytes| bare("model.json", bytes) }.check();
}

#[test]
fn xgboost_ubj() {
    Kind { name: "XGBoost UBJSON", seeds: natives(".ubj"), artifact: |bytes| bare("model.ubj", bytes) }.check();
}

#[test]
fn lightgbm() {
    Kind { name: "LightGBM", seeds: natives(".txt"), artifact: |bytes| bare("model.txt", bytes) }.check();
}

#[test]
fn mlmodel() {
    fn artifact(mlmodel: Vec<u8>) -> Artifact {
        let graph = std::fs::read(fixtures().join("iris_onnx_v2/model/model.onnx")).expect("a graph");
        let files = [("MLmodel", mlmodel), ("model.onnx", graph)];
        Artifact::new(files.map(|(name, bytes)| (name.to_owned(), Bytes::from(bytes))).into())
    }
    Kind { name: "MLmodel", seeds: files(&fixtures(), "MLmodel"), artifact }.check();
}
