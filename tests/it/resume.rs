//! Jobs that are cut off and gone on with: what is done is not done again, and the result is that of a run that
//! nobody disturbed. Real processes, really killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{House, model, note, number};
use crate::process::{Ended, command, succeed, volley};
use crate::rejects::sound;

pub const SPLITS: usize = 50;
pub const ROWS_OF_SPLIT: usize = 1_000;

/// A folder with an input of [`SPLITS`] row groups, and `job.sql`, which scores it.
pub async fn folder() -> TempDir {
    let house = House::with_input(SPLITS, ROWS_OF_SPLIT).await;
    let job = format!(
        "COPY (SELECT id, d, predict('{}') AS score FROM 'input/') TO 'out/' STORED AS PARQUET",
        model("linear_onnx_double")
    );
    std::fs::write(house.path("job.sql"), job).unwrap();
    std::fs::write(house.path("volley.toml"), format!("split_rows = {ROWS_OF_SPLIT}\ncores = 2\n")).unwrap();
    house.folder
}

fn spawn(folder: &Path, arguments: &[&str]) -> Child {
    command(folder, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The folders of the jobs that the state knows, in order of age.
pub fn jobs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(".volley/state/jobs")).into_iter().flatten();
    let mut jobs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    jobs.sort();
    jobs
}

pub fn id(job: &Path) -> String {
    job.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The receipts of a job with their bytes.
pub fn receipts(job: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(job.join("splits")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let whole = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    whole.map(|path| (id(&path), std::fs::read(path).unwrap())).collect()
}

/// Runs the command until the newest job has so many receipts, and kills it. Gives the job, if it was not over.
fn kill_at(folder: &Path, arguments: &[&str], sealed: usize) -> Option<PathBuf> {
    let before = jobs(folder);
    let mut running = spawn(folder, arguments);
    let newest = || jobs(folder).into_iter().find(|job| !before.contains(job));
    while newest().is_none_or(|job| receipts(&job).len() < sealed) && running.try_wait().unwrap().is_none() {}
    let _ = running.kill();
    running.wait().unwrap();
    newest().filter(|job| !job.join("outcome.json").exists())
}

/// The same until the kill came before the decision: how fast the machine is, is not ours to say.
pub fn cut_off(folder: &Path, arguments: &[&str], sealed: usize) -> PathBuf {
    for _ in 0..20 {
        if let Some(job) = kill_at(folder, arguments, sealed) {
            return job;
        }
        // The kill may have come between the decision and the end.
        succeed(folder, &["jobs", "list"]);
        std::fs::remove_dir_all(folder.join("out")).unwrap();
    }
    panic!("20 runs ended before they could be killed at {sealed} receipts");
}

/// All files below a folder with their bytes.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            match entry.unwrap().path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    drop(files.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap()))
                }
            }
        }
    }
    files
}

/// Forgets all jobs, and what they published, but not which job a key stands for.
pub fn forget(folder: &Path) {
    for name in [".volley/state/jobs", ".volley/state/open", ".volley/state/dests", ".volley-staging", "out", "bad"] {
        let _ = std::fs::remove_dir_all(folder.join(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_50_splits_that_is_killed_scores_the_rest_and_publishes_the_same_bytes() {
    let folder = folder().await;
    let folder = folder.path();
    let run = ["run", "job.sql", "--key", "daily"];
    succeed(folder, &run);
    let undisturbed = files(&folder.join("out"));
    assert_eq!(undisturbed.len(), SPLITS + 1);
    for percent in [10, 50, 90] {
        forget(folder);
        let Some(job) = (0..20).find_map(|_| {
            forget(folder);
            kill_at(folder, &run, SPLITS * percent / 100)
        }) else {
            panic!("20 runs ended before they could be killed at {percent} %");
        };
        let sealed = receipts(&job);
        assert!(!folder.join("out").exists(), "nothing is visible before the decision");
        let ended = volley(folder, &run);
        assert_eq!(ended.status, Some(0), "{}", ended.warned);
        let told = format!("going on with job {}: {} of {SPLITS} splits are done", id(&job), sealed.len());
        assert!(ended.warned.contains(&told), "{} says no {told}", ended.warned);
        let after = receipts(&job);
        for (split, receipt) in &sealed {
            assert_eq!(after[split], *receipt, "split {split} was scored again after {percent} %");
        }
        assert_eq!(after.len(), SPLITS);
        assert!(files(&folder.join("out")) == undisturbed, "other bytes after a kill at {percent} %");
        assert!(!folder.join(".volley-staging").exists());
        note(&format!("killed at {} of {SPLITS} receipts, none scored again", sealed.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_job_keeps_the_rejects_of_its_splits_and_publishes_the_same_bytes_of_all() {
    let folder = folder().await;
    let folder = folder.path();
    // Fails at the 50 rows whose id is a multiple of 997.
    let job = format!(
        "COPY (SELECT id, predict('{}', id % 997) AS score FROM 'input/') TO 'out/' STORED AS PARQUET
         OPTIONS (rejects 'bad/', max_rejects 50)",
        sound("division")
    );
    std::fs::write(folder.join("job.sql"), &job).unwrap();
    let run = ["run", "job.sql", "--key", "daily", "--json"];
    let ended = volley(folder, &run);
    assert_eq!(ended.json()["rejected"], 50, "{}", ended.warned);
    let undisturbed = (files(&folder.join("out")), files(&folder.join("bad")));
    let killed = (0..20).find_map(|_| {
        forget(folder);
        kill_at(folder, &run, SPLITS / 2)
    });
    let sealed = receipts(&killed.expect("20 runs ended before they could be killed"));
    assert!(!folder.join("bad").exists(), "nothing is visible before the decision");
    let ended = volley(folder, &run);
    assert_eq!(ended.json()["rejected"], 50, "{}", ended.warned);
    let after = receipts(&jobs(folder)[0]);
    assert!(sealed.iter().all(|(split, receipt)| after[split] == *receipt));
    assert!((files(&folder.join("out")), files(&folder.join("bad"))) == undisturbed, "other bytes after a kill");

    // What was rejected before the kill counts after it.
    std::fs::write(folder.join("job.sql"), job.replace("max_rejects 50", "max_rejects 49")).unwrap();
    let killed = (0..20).find_map(|_| {
        forget(folder);
        kill_at(folder, &["run", "job.sql"], SPLITS / 2)
    });
    killed.expect("20 runs ended before they could be killed");
    volley(folder, &["run", "job.sql", "--resume"]).has_error(1, "[too_many_rejects]");
    assert!(!folder.join("out").exists() && !folder.join("bad").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_run_of_a_file_is_gone_on_with_and_a_new_run_is_a_new_job() {
    let folder = folder().await;
    let folder = folder.path();
    let job = cut_off(folder, &["run", "job.sql"], 5);
    let known = jobs(folder).len();
    let told = succeed(folder, &["jobs", "list"]);
    assert!(told.contains(&format!("{}  cut_off", id(&job))), "{told}");

    // Another parameter, or another text, makes it another request.
    let other = std::fs::read_to_string(folder.join("job.sql")).unwrap().replace("'out/'", "'elsewhere/'");
    std::fs::write(folder.join("other.sql"), other).unwrap();
    volley(folder, &["run", "other.sql", "--resume"]).has_error(1, "[nothing_to_resume]");
    volley(folder, &["run", "other.sql", "--resume", &id(&job)]).has_error(1, "[resume_mismatch]");

    let ended = volley(folder, &["run", "other.sql"]);
    assert_eq!(ended.status, Some(0), "{}", ended.warned);
    assert!(ended.warned.contains(&format!("job {} of job.sql was cut off with ", id(&job))), "{}", ended.warned);
    assert_eq!(jobs(folder).len(), known + 1, "a new run is a new job");

    succeed(folder, &["run", "job.sql", "--resume"]);
    assert_eq!(jobs(folder).len(), known + 1, "the one that was cut off went on");
    assert_eq!(files(&folder.join("out")).len(), SPLITS + 1);
    volley(folder, &["run", "job.sql", "--resume"]).has_error(1, "[nothing_to_resume]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_stopped_says_how_to_go_on() {
    let folder = folder().await;
    let folder = folder.path();
    let stopped = (0..20).find_map(|_| {
        let _ = std::fs::remove_dir_all(folder.join("out"));
        let before = jobs(folder);
        let mut running = command(folder, &["run", "job.sql"]);
        let mut running = running.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let newest = || jobs(folder).into_iter().find(|job| !before.contains(job));
        while newest().is_none_or(|job| receipts(&job).len() < 5) && running.try_wait().unwrap().is_none() {}
        // A process that has ended already takes no signal.
        let _ = std::process::Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
        let ended = Ended::from(running.wait_with_output().unwrap());
        (ended.status == Some(1)).then(|| (newest().unwrap(), ended))
    });
    let (job, ended) = stopped.expect("20 runs ended before they could be stopped");
    ended.has_error(1, "--resume goes on");
    ended.has_error(1, "[interrupted]");
    let sealed = receipts(&job);
    assert!(!folder.join("out").exists());
    succeed(folder, &["run", "job.sql", "--resume"]);
    assert!(sealed.iter().all(|(split, receipt)| receipts(&job)[split] == *receipt));
    assert_eq!(files(&folder.join("out")).len(), SPLITS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_gone_on_with_by_its_id_alone() {
    let folder = folder().await;
    let folder = folder.path();
    let job = cut_off(folder, &["run", "job.sql"], 5);
    std::fs::remove_file(folder.join("job.sql")).unwrap();
    succeed(folder, &["jobs", "resume", &id(&job)]);
    assert_eq!(files(&folder.join("out")).len(), SPLITS + 1);
    let told = succeed(folder, &["jobs", "show", &id(&job)]);
    assert!(told.contains("published") && told.contains(&format!("{SPLITS} of {SPLITS} done")), "{told}");
    volley(folder, &["jobs", "expire", &id(&job)]).has_error(1, "[job_over]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_up_leaves_nothing_and_is_not_gone_on_with() {
    let folder = folder().await;
    let folder = folder.path();
    let job = cut_off(folder, &["run", "job.sql"], 5);
    assert!(folder.join(".volley-staging").exists());
    let told = succeed(folder, &["jobs", "expire", &id(&job)]);
    assert!(told.contains("is given up"), "{told}");
    assert!(!folder.join(".volley-staging").exists() && !folder.join("out").exists());
    volley(folder, &["jobs", "resume", &id(&job)]).has_error(1, "[not_resumable]");
    volley(folder, &["run", "job.sql", "--resume"]).has_error(1, "[nothing_to_resume]");
}

/// Makes all records of a job so much older.
fn age(job: &Path, by: Duration) {
    for record in files(job).into_keys() {
        let record = std::fs::File::options().append(true).open(job.join(record)).unwrap();
        let moment = record.metadata().unwrap().modified().unwrap() - by;
        record.set_modified(moment).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_cut_off_waits_as_long_as_the_settings_say() {
    let folder = folder().await;
    let folder = folder.path();
    let job = cut_off(folder, &["run", "job.sql"], 5);
    let state = |arguments: &[&str]| {
        let told = succeed(folder, &[&["jobs", "list"], arguments].concat());
        let line = told.lines().find(|line| line.contains(&id(&job))).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    age(&job, Duration::from_secs(2 * 3600));
    assert_eq!(state(&[]), "cut_off");
    assert_eq!(state(&["--keep-cut-off-hours", "3"]), "cut_off");
    std::fs::write(folder.join("volley.toml"), "keep_cut_off_hours = 1\nsplit_rows = 1000\n").unwrap();
    let mut command = command(folder, &["jobs", "list"]);
    let listed = Ended::from(command.env("VOLLEY_KEEP_CUT_OFF_HOURS", "3").output().unwrap());
    assert!(listed.said.contains("cut_off"), "the variable wins: {}", listed.said);
    assert_eq!(state(&[]), "aborted");
    assert!(!folder.join(".volley-staging").exists() && !folder.join("out").exists());
    volley(folder, &["run", "job.sql", "--resume"]).has_error(1, "[nothing_to_resume]");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_is_never_given_up_however_old_it_is() {
    let folder = folder().await;
    let folder = folder.path();
    succeed(folder, &["run", "job.sql"]);
    let job = jobs(folder).pop().unwrap();
    let whole = files(&folder.join("out"));
    // As after a kill between the decision and the end: what is published is known to be so by one record.
    std::fs::remove_file(job.join("published.json")).unwrap();
    std::fs::create_dir_all(folder.join(".volley/state/open")).unwrap();
    std::fs::write(folder.join(".volley/state/open").join(id(&job)), format!("\"{}\"", id(&job))).unwrap();
    std::fs::remove_file(folder.join("out/_SUCCESS")).unwrap();
    age(&job, Duration::from_secs(365 * 24 * 3600));
    let told = volley(folder, &["jobs", "expire", "--all", "--keep-cut-off-hours", "1"]);
    assert_eq!((told.status, told.said.as_str()), (Some(0), "no job was cut off\n"), "{}", told.warned);
    assert!(files(&folder.join("out")) == whole, "it is published");
    volley(folder, &["jobs", "expire", &id(&job)]).has_error(1, "[job_over]");
    assert!(job.join("outcome.json").exists() && job.join("receipt.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_changed_in_between_is_named_and_nothing_is_published() {
    let folder = folder().await;
    let folder = folder.path();
    let job = cut_off(folder, &["run", "job.sql"], 5);
    let input = files(&folder.join("input")).into_keys().find(|name| name.extension().is_some()).unwrap();
    let path = folder.join("input").join(&input);
    let moment = std::fs::metadata(&path).unwrap().modified().unwrap() + Duration::from_secs(1);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(moment).unwrap();
    let ended = volley(folder, &["jobs", "resume", &id(&job)]);
    ended.has_error(1, "[input_changed]");
    assert!(ended.warned.contains(path.to_str().unwrap()), "{}", ended.warned);
    assert!(!folder.join("out").exists() && !folder.join(".volley-staging").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_job_and_one_request() {
    let folder = folder().await;
    let folder = folder.path();
    let first = volley(folder, &["run", "job.sql", "--key", "k", "--json"]).json();
    let before = files(&folder.join("out"));
    let again = volley(folder, &["run", "job.sql", "--key", "k", "--json"]).json();
    for entry in ["job", "rows", "null_scores", "models", "destination", "files"] {
        assert_eq!(again[entry], first[entry], "{entry}");
    }
    assert_eq!(jobs(folder).len(), 1);
    assert!(files(&folder.join("out")) == before);
    let other = std::fs::read_to_string(folder.join("job.sql")).unwrap().replace("STORED AS PARQUET", "STORED AS CSV");
    std::fs::write(folder.join("job.sql"), other).unwrap();
    volley(folder, &["run", "job.sql", "--key", "k"]).has_error(1, "[key_reused]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_several_statements_goes_on_with_the_one_that_was_cut_off() {
    let folder = folder().await;
    let folder = folder.path();
    let second = std::fs::read_to_string(folder.join("job.sql")).unwrap();
    let first = "COPY (SELECT count(*) AS n FROM 'input/') TO 'count/' STORED AS CSV";
    std::fs::write(folder.join("job.sql"), format!("{first};\n{second}")).unwrap();
    let job = (0..20).find_map(|_| {
        succeed(folder, &["jobs", "expire", "--all"]);
        for published in ["count", "out"] {
            let _ = std::fs::remove_dir_all(folder.join(published));
        }
        let before = jobs(folder).len();
        let mut running = spawn(folder, &["run", "job.sql"]);
        let second = || jobs(folder).into_iter().skip(before).find(|job| receipts(job).len() >= 5);
        while second().is_none() && running.try_wait().unwrap().is_none() {}
        let _ = running.kill();
        running.wait().unwrap();
        second().filter(|job| !job.join("outcome.json").exists())
    });
    let job = job.expect("20 runs ended before they could be killed");
    let known = jobs(folder).len();
    let (counted, sealed) = (files(&folder.join("count")), receipts(&job));
    succeed(folder, &["run", "job.sql", "--resume"]);
    assert_eq!(jobs(folder).len(), known, "neither statement became another job");
    assert!(files(&folder.join("count")) == counted);
    assert!(sealed.iter().all(|(split, receipt)| receipts(&job)[split] == *receipt));
    assert_eq!(files(&folder.join("out")).len(), SPLITS + 1);
}

/// How often the process is killed: more on demand, as `SHUFFLE_KILLS=20 ./test shuffle`.
fn shuffle_kills() -> u32 {
    number("SHUFFLE_KILLS").unwrap_or(3)
}

/// What Spark lost rows in until SPARK-23207 was mended: ids that are dealt anew after a loss.
#[tokio::test(flavor = "multi_thread")]
async fn a_million_ids_through_a_shuffle_are_a_million_after_kills() {
    const IDS: u64 = 1_000_000;
    let mut house = House::with(|settings| settings.state = "state of the input".into()).await;
    house.run(&format!("COPY (SELECT value AS id FROM generate_series(1, {IDS})) TO 'ids/' STORED AS PARQUET")).await;
    let folder = house.folder.path().to_owned();
    let job = "COPY (SELECT id, count(*) AS n FROM 'ids/' GROUP BY id) TO 'out/' STORED AS PARQUET";
    std::fs::write(folder.join("shuffle.sql"), job).unwrap();
    std::fs::write(folder.join("volley.toml"), "split_rows = 100000\ncores = 4\n").unwrap();
    let mut cut_off = 0;
    for kill in 0..shuffle_kills() {
        forget(&folder);
        let key = format!("kill {kill}");
        let by_key = ["run", "shuffle.sql", "--key", &key];
        let (run, again): (&[&str], &[&str]) = match kill % 2 {
            0 => (&by_key, &by_key),
            _ => (&["run", "shuffle.sql"], &["run", "shuffle.sql", "--resume"]),
        };
        // From the first receipt to the last but one, whichever those are.
        let killed = kill_at(&folder, run, 1 + kill as usize % 3);
        if killed.is_some() {
            let ended = volley(&folder, again);
            assert_eq!(ended.status, Some(0), "{}", ended.warned);
            assert!(ended.warned.contains("cannot be gone on with: it is begun anew"), "{}", ended.warned);
            assert_eq!(jobs(&folder).len(), 2, "what was cut off is given up");
            cut_off += 1;
        } else {
            // The kill may have come between the decision and the end.
            succeed(&folder, &["jobs", "list"]);
        }
        let seen = {
            let mut fresh = House::with(|settings| settings.base = folder.clone()).await;
            (
                fresh.number("SELECT count(*) FROM 'out/'").await as u64,
                fresh.number("SELECT count(DISTINCT id) FROM 'out/'").await as u64,
                fresh.number("SELECT sum(n) FROM 'out/'").await as u64,
            )
        };
        assert_eq!(seen, (IDS, IDS, IDS), "kill {kill}, {killed:?}");
    }
    let told =
        format!("{cut_off} of {} shuffles were killed between their first receipt and the decision", shuffle_kills());
    note(&told);
    assert!(cut_off > 0, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_whose_splits_depend_on_each_other_is_told_so_when_it_begins() {
    let folder = folder().await;
    let folder = folder.path();
    let shuffled = "COPY (SELECT d, count(*) AS n FROM 'input/' GROUP BY d) TO 'out/' STORED AS CSV";
    std::fs::write(folder.join("shuffled.sql"), shuffled).unwrap();
    let ended = volley(folder, &["run", "shuffled.sql"]);
    assert_eq!(ended.status, Some(0));
    assert!(ended.warned.contains("cut off, it is begun anew as a whole"), "{}", ended.warned);
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    assert!(!volley(folder, &["run", "job.sql"]).warned.contains("begun anew"));
}

#[test]
fn a_series_whose_numbers_nobody_reads_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let job = "COPY (SELECT 'x' AS x FROM generate_series(1, 10)) TO 'out/' STORED AS CSV";
    std::fs::write(folder.path().join("job.sql"), job).unwrap();
    let told = succeed(folder.path(), &["run", "job.sql", "--json"]);
    assert!(told.contains("\"rows\":10"), "{told}");
}
