//! What becomes of jobs when others work beside them, and when they are stopped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use tempfile::TempDir;
use volley_commit::{Job, JobId, JobSpec, Location, Mode, StagedFile, Tally};
use volley_engine::{Answer, Engine, EngineError, EngineSettings, Params, Request, Run, Summary, parse_script};

/// A folder in which engines work.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An engine as another process would open it.
    async fn engine(&self, state: &str) -> Engine {
        self.with(state, |_| {}).await
    }

    async fn patient(&self, state: &str, commit_wait: Duration) -> Engine {
        self.with(state, |settings| settings.commit_wait = commit_wait).await
    }

    async fn with(&self, state: &str, change: impl FnOnce(&mut EngineSettings)) -> Engine {
        let base = self.folder.path().to_path_buf();
        let registry_base = base.clone();
        let state = state.to_owned();
        let mut settings = EngineSettings { base, registry_base, state, cores: 2, ..Default::default() };
        change(&mut settings);
        Engine::open(settings).await.unwrap()
    }

    fn location(&self, name: &str) -> Location {
        let path = self.path(name);
        let prefix = StorePath::from_absolute_path(&path).unwrap();
        Location::new(Arc::new(LocalFileSystem::new()), prefix, format!("file://{}/", path.display()))
    }

    /// A job of the state `state` that is committed and not published, as a killed process leaves it.
    async fn committed(&self) -> JobId {
        let provenance = serde_json::Map::new();
        let job = JobId::new();
        let spec = JobSpec { job, mode: Mode::Append, splits: 1, extension: "csv".to_owned(), provenance };
        let (state, to, staging) = (self.location("state"), self.location("out"), self.location(".volley-staging"));
        let begun = Job::begin(&state, &to, &staging, spec).await.unwrap();
        let attempt = begun.attempt(0);
        let staged = attempt.staged_path();
        begun.staging().store.put(&staged, "n\n1\n".into()).await.unwrap();
        let files = vec![StagedFile::object(&staged, "", 1, 4)];
        attempt.seal(Tally { rows_in: 1, rows_out: 1, ..Tally::default() }, files).await.unwrap();
        begun.commit().await.unwrap();
        job
    }

    /// Whether the first split of a job is done.
    fn is_sealed(&self, job: &str) -> bool {
        self.path("state/jobs").join(job).join("splits/000000.json").exists()
    }

    /// The names in a folder; none if there is no folder.
    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn run(engine: &Engine, sql: &str) -> Result<Option<Summary>, EngineError> {
    let mut session = engine.session();
    let mut last = None;
    for statement in parse_script(sql)? {
        last = match session.run(&statement, &Params::default()).await? {
            Answer::Published(summary) => Some(summary),
            Answer::Done => None,
            Answer::Rows(_) => panic!("{sql} gives rows"),
        };
    }
    Ok(last)
}

/// Writes `rows` rows to `out/`.
fn copy(rows: usize, mode: &str) -> String {
    format!("COPY (SELECT value AS n FROM generate_series(1, {rows})) TO 'out/' STORED AS CSV OPTIONS (mode '{mode}')")
}

/// The rows of the files at `out/`, without their headers.
fn rows(place: &Place) -> usize {
    let parts = place.names("out").into_iter().filter(|name| name.starts_with("part-"));
    parts.map(|part| std::fs::read_to_string(place.path("out").join(part)).unwrap().lines().count() - 1).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_job_is_finished_while_others_work_on_its_state() {
    let place = Place::new();
    let _prompt = place.engine("state").await;
    let job = place.committed().await;
    let next = place.engine("state").await;
    let [told] = next.recovered() else { panic!("{:?}", next.recovered()) };
    assert!(told.starts_with(&format!("job {job} had been committed")), "{told}");
    assert_eq!(rows(&place), 1);
    assert!(place.names("state/locks").is_empty() && place.names("state/open").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_is_not_taken_for_dead() {
    let place = Place::new();
    let engine = place.engine("state").await;
    let sql = copy(2_000_000, "error");
    let beside = async {
        // Until the job is on record.
        while place.names("state/open").is_empty() {
            tokio::task::yield_now().await;
        }
        place.engine("state").await.recovered().to_vec()
    };
    let (done, recovered) = tokio::join!(run(&engine, &sql), beside);
    assert_eq!(recovered, [""; 0]);
    assert_eq!(done.unwrap().unwrap().rows, 2_000_000);
    assert!(place.names("state/locks").is_empty(), "a job that is over leaves no lock");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_beside_each_other_all_get_their_turn() {
    let place = Place::new();
    let engines = join_all((0..8).map(|_| place.engine("state"))).await;
    let sql = copy(100, "append");
    for done in join_all(engines.iter().map(|engine| run(engine, &sql))).await {
        assert_eq!(done.unwrap().unwrap().rows, 100);
    }
    assert_eq!(rows(&place), 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrites_of_two_states_leave_one_result() {
    let place = Place::new();
    let engines = [place.engine("one").await, place.engine("two").await];
    let sql = copy(100, "overwrite");
    for _round in 0..10 {
        for done in join_all(engines.iter().map(|engine| run(engine, &sql))).await {
            done.unwrap();
        }
        assert_eq!(rows(&place), 100);
    }
    assert!(!place.path(".volley-staging").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_its_turn_only_so_long_and_finishes_who_died_before_it() {
    let place = Place::new();
    let engine = place.patient("state", Duration::from_millis(100)).await;
    let other = place.committed().await;
    // Its process lives: it holds the job's lock.
    let lock = File::create(place.path("state/locks").join(other.to_string())).unwrap();
    lock.lock().unwrap();
    assert_eq!(run(&engine, &copy(100, "append")).await.unwrap_err().code(), "destination_busy");
    assert!(place.names("out").is_empty());

    drop(lock);
    run(&engine, &copy(100, "append")).await.unwrap();
    assert_eq!(rows(&place), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_put_in_place_is_not_told_as_a_failed_job() {
    let place = Place::new();
    let engine = place.engine("state").await;
    // A marker that is a folder can be neither seen by a store nor replaced.
    std::fs::create_dir_all(place.path("out/_SUCCESS/in the way")).unwrap();
    let error = run(&engine, &copy(100, "append")).await.unwrap_err();
    assert_eq!(error.code(), "publish_pending");
    let told = error.to_string();
    assert!(told.contains("is committed, its files are not all in place: the store failed at /"), "{told}");

    std::fs::remove_dir_all(place.path("out/_SUCCESS")).unwrap();
    let next = place.engine("state").await;
    assert_eq!(next.recovered().len(), 1, "{:?}", next.recovered());
    assert_eq!(rows(&place), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_stopped_says_on_which_side_of_the_decision() {
    let place = Place::new();
    let engine = place.engine("state").await;
    let sql = copy(20_000, "append");
    let mut published = 0;
    let mut given_up = 0;
    let mut moment = Duration::ZERO;
    // Later and later, until the job is done before it is stopped.
    while published < 3 {
        let stop = async {
            tokio::time::sleep(moment).await;
            engine.stop()
        };
        let (done, stopping) = {
            let mut work = std::pin::pin!(run(&engine, &sql));
            tokio::select! {
                done = &mut work => (done, None),
                stopping = stop => (work.await, Some(stopping)),
            }
        };
        match done {
            Ok(_) => published += 1,
            Err(error) => {
                assert_eq!(error.code(), "interrupted", "{error}");
                given_up += 1;
            }
        }
        drop(stopping);
        assert_eq!(rows(&place), published * 20_000, "stopped after {moment:?}");
        assert!(place.names(".volley-staging").is_empty() && place.names("state/open").is_empty());
        moment += Duration::from_millis(2);
    }
    assert!(given_up > 0, "no job was stopped before its decision");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_run_that_was_stopped_is_kept_for_a_while() {
    let place = Place::new();
    let engine = place.engine("state").await;
    let mut session = engine.session();
    session.set_run(Run::new(&Request::new("job.sql", b"all of it")));
    let statement = parse_script(&copy(5_000_000, "error")).unwrap().remove(0);
    let params = Params::default();
    let stop = async {
        while place.names("state/open").is_empty() {
            tokio::task::yield_now().await;
        }
        engine.stop()
    };
    let (done, stopping) = tokio::join!(session.run(&statement, &params), stop);
    let error = done.err().expect("stopped");
    assert_eq!(error.code(), "interrupted");
    assert!(error.to_string().contains("0 of 1 splits of job "), "{error}");
    drop(stopping);

    for _command in 0..2 {
        let told = place.engine("state").await.recovered().to_vec();
        assert!(told.len() == 1 && told[0].contains(" of job.sql was cut off with 0 of 1 splits done"), "{told:?}");
    }
    let told = place.with("state", |settings| settings.keep_cut_off = Duration::ZERO).await.recovered().to_vec();
    assert!(told.len() == 1 && told[0].contains("had not been committed"), "{told:?}");
    assert!(place.engine("state").await.recovered().is_empty());
    assert!(place.names("out").is_empty() && place.names("state/locks").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_turn_can_be_stopped() {
    let place = Place::new();
    let engine = place.engine("state").await;
    let other = place.committed().await;
    let lock = File::create(place.path("state/locks").join(other.to_string())).unwrap();
    lock.lock().unwrap();
    let sql = copy(100, "append");
    let stop = async {
        // Until its rows are ready: the other job has its receipt already.
        let receipts = || place.names("state/jobs").iter().filter(|job| place.is_sealed(job)).count();
        while receipts() < 2 {
            tokio::task::yield_now().await;
        }
        engine.stop()
    };
    let (done, _stopping) = tokio::join!(run(&engine, &sql), stop);
    assert_eq!(done.unwrap_err().code(), "interrupted");
    assert!(place.names("out").is_empty());
}
