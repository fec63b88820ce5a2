//! What each mode keeps, replaces and refuses.

use std::collections::BTreeSet;

use object_store::ObjectStoreExt;
use volley_commit::{Job, JobSpec, Location, Mode, Outcome, StagedFile};

use super::world::{KINDS, Kind, Snapshot, World, publish, score, score_all, spec, stage, success, tally};

/// Part files without their marker, by the job that wrote them.
fn jobs(seen: &Snapshot) -> BTreeSet<String> {
    let parts = seen.keys().filter_map(|path| path.rsplit('/').next()?.strip_prefix("part-"));
    parts.map(|part| part[7..19].to_owned()).collect()
}

/// The code of the refusal, after which nothing at the destination has changed.
async fn check_refused(world: &World, spec: JobSpec, code: &str) -> String {
    let before = world.snapshot("out").await;
    let error = publish(&world.sites(), spec, "day=9").await.unwrap_err();
    assert_eq!(error.code(), code);
    assert!(!error.is_transient());
    assert_eq!(world.snapshot("out").await, before);
    error.to_string()
}

#[tokio::test]
async fn a_result_is_its_parts_and_a_marker_that_lists_them() {
    for kind in KINDS {
        let world = World::new(kind);
        let new = spec(Mode::Error);
        publish(&world.sites(), new.clone(), "day=2").await.unwrap();

        let seen = world.destination().await;
        let short = new.job.short();
        let files: Vec<_> = seen.iter().filter(|(_, body)| body.is_some()).map(|f| f.0).collect();
        let expected = [
            "_SUCCESS".to_owned(),
            format!("day=2/part-000000-{short}.parquet"),
            format!("day=2/part-000001-{short}-1.parquet"),
            format!("day=2/part-000001-{short}.parquet"),
            format!("part-000000-{short}.parquet"),
        ];
        assert_eq!(files, expected.iter().collect::<Vec<_>>());

        let marker = success(&seen);
        assert_eq!(marker["job"], new.job.to_string());
        assert_eq!(marker["mode"], "error");
        assert_eq!(marker["rows"], 4);
        assert_eq!(marker["sql"], "SELECT 1");
        let listed = marker["files"].as_array().unwrap();
        let path = format!("part-000000-{short}.parquet");
        let file = serde_json::json!({ "path": path, "rows": 1, "bytes": 2, "job": new.job });
        assert!(listed.contains(&file), "{listed:?}");
        assert_eq!(listed.len(), 4);
    }
}

#[tokio::test]
async fn error_refuses_any_file() {
    for kind in KINDS {
        let world = World::new(kind);
        world.put("out/scores/deep/notes.txt", "not ours").await;
        let said = check_refused(&world, spec(Mode::Error), "destination_not_empty").await;
        assert!(said.contains("deep/notes.txt"), "{said}");
    }
}

#[tokio::test]
async fn overwrite_refuses_foreign_files_and_leaves_them() {
    for kind in KINDS {
        let world = World::new(kind);
        publish(&world.sites(), spec(Mode::Error), "day=1").await.unwrap();
        world.put("out/scores/day=1/part-00000-c000.snappy.parquet", "not ours").await;
        let said = check_refused(&world, spec(Mode::Overwrite), "foreign_files").await;
        assert!(said.contains("day=1/part-00000-c000.snappy.parquet"), "{said}");
    }
}

#[tokio::test]
async fn a_foreign_file_that_comes_while_a_job_runs_is_refused_before_the_decision() {
    for (mode, code) in [(Mode::Overwrite, "foreign_files"), (Mode::Error, "destination_not_empty")] {
        let world = World::new(Kind::ANY);
        let job = world.sites().begin(spec(mode)).await.unwrap();
        score_all(&job, "day=2").await.unwrap();
        world.put("out/scores/notes.txt", "not ours").await;

        assert_eq!(job.commit().await.unwrap_err().code(), code);
        let stands = job.abort("refused").await.unwrap();
        assert_eq!(stands, Outcome::Aborted { reason: "refused".to_owned() });
        assert_eq!(world.snapshot("out").await.len(), 1);
    }
}

#[tokio::test]
async fn append_keeps_what_is_there() {
    for kind in KINDS {
        let world = World::new(kind);
        let (first, second) = (spec(Mode::Append), spec(Mode::Append));
        publish(&world.sites(), first.clone(), "day=1").await.unwrap();
        world.put("out/scores/notes.txt", "not ours").await;
        publish(&world.sites(), second.clone(), "day=2").await.unwrap();

        let seen = world.destination().await;
        assert_eq!(jobs(&seen), BTreeSet::from([first.job.short(), second.job.short()]));
        assert!(seen.contains_key("notes.txt"));
        assert_eq!(success(&seen)["rows"], 8);
        assert_eq!(success(&seen)["files"].as_array().unwrap().len(), 8);
    }
}

#[tokio::test]
async fn a_marker_says_which_job_wrote_which_file_with_which_models() {
    let world = World::new(Kind::ANY);
    let with = |model: &str, mode| {
        let mut spec = spec(mode);
        spec.provenance.insert("models".to_owned(), serde_json::json!([model]));
        spec
    };
    let (first, second, third) = (with("a/1", Mode::Append), with("a/2", Mode::Append), with("b/1", Mode::Append));
    publish(&world.sites(), first.clone(), "day=1").await.unwrap();
    // The state knows it too, whatever becomes of the marker.
    let marker = world.at("out/scores/_SUCCESS");
    marker.store.delete(&marker.prefix).await.unwrap();
    publish(&world.sites(), second.clone(), "day=2").await.unwrap();
    // Another state has only the marker to go by.
    let elsewhere = super::world::Sites { state: world.at("another-state"), ..world.sites() };
    publish(&elsewhere, third.clone(), "day=3").await.unwrap();

    let marker = success(&world.destination().await);
    assert_eq!(marker["models"], serde_json::json!(["b/1"]), "the last job speaks for itself");
    for spec in [&first, &second, &third] {
        let job = spec.job.to_string();
        assert_eq!(marker["jobs"][&job]["models"], spec.provenance["models"]);
        let files = marker["files"].as_array().unwrap().iter();
        let wrote = files.filter(|file| file["job"] == job.as_str());
        let all_ours = |file: &serde_json::Value| file["path"].as_str().unwrap().contains(&spec.job.short());
        assert_eq!(wrote.filter(|file| all_ours(file)).count(), 4);
    }

    let last = with("c/1", Mode::Overwrite);
    publish(&world.sites(), last.clone(), "day=4").await.unwrap();
    let jobs = success(&world.destination().await)["jobs"].clone();
    assert_eq!(jobs.as_object().unwrap().keys().collect::<Vec<_>>(), [&last.job.to_string()]);
}

#[tokio::test]
async fn a_marker_of_before_files_named_their_jobs_is_still_ours() {
    let world = World::new(Kind::ANY);
    let old = spec(Mode::Error);
    publish(&world.sites(), old.clone(), "day=1").await.unwrap();
    let mut marker = success(&world.destination().await);
    marker.as_object_mut().unwrap().remove("jobs");
    for file in marker["files"].as_array_mut().unwrap() {
        file.as_object_mut().unwrap().remove("job");
    }
    world.put("out/scores/_SUCCESS", &marker.to_string()).await;
    let elsewhere = super::world::Sites { state: world.at("another-state"), ..world.sites() };
    publish(&elsewhere, spec(Mode::Overwrite), "day=2").await.unwrap();
    assert!(!jobs(&world.destination().await).contains(&old.job.short()));
}

#[tokio::test]
async fn overwriting_twice_leaves_only_the_second() {
    for kind in KINDS {
        let world = World::new(kind);
        let last = spec(Mode::Overwrite);
        publish(&world.sites(), spec(Mode::Append), "day=1").await.unwrap();
        publish(&world.sites(), spec(Mode::Append), "day=2/hour=3").await.unwrap();
        publish(&world.sites(), spec(Mode::Overwrite), "day=3").await.unwrap();
        publish(&world.sites(), last.clone(), "day=4").await.unwrap();

        let seen = world.destination().await;
        assert_eq!(jobs(&seen), BTreeSet::from([last.job.short()]));
        let folders: Vec<_> = seen.iter().filter(|(_, body)| body.is_none()).map(|f| f.0).collect();
        let expected = if world.has_folders() { vec!["day=4"] } else { vec![] };
        assert_eq!(folders, expected, "no empty folder is left");
    }
}

#[tokio::test]
async fn overwrite_follows_an_aborted_overwrite() {
    let world = World::new(Kind::ANY);
    let (first, last) = (spec(Mode::Error), spec(Mode::Overwrite));
    publish(&world.sites(), first, "day=1").await.unwrap();
    let aborted = world.sites().begin(spec(Mode::Overwrite)).await.unwrap();
    score_all(&aborted, "day=2").await.unwrap();
    // The commit claims its version and then finds that the abort was first.
    let (committed, _) = tokio::join!(aborted.commit(), aborted.abort("cancelled"));
    if matches!(committed.unwrap(), Outcome::Committed { .. }) {
        aborted.publish().await.unwrap();
    }
    publish(&world.sites(), last.clone(), "day=3").await.unwrap();
    assert_eq!(jobs(&world.destination().await), BTreeSet::from([last.job.short()]));
}

#[tokio::test]
async fn overwrite_knows_our_files_without_the_state() {
    let world = World::new(Kind::ANY);
    let (first, second) = (spec(Mode::Error), spec(Mode::Overwrite));
    publish(&world.sites(), first, "day=1").await.unwrap();
    let mut sites = world.sites();
    sites.state = world.at("another-state");
    publish(&sites, second.clone(), "day=2").await.unwrap();
    assert_eq!(jobs(&world.destination().await), BTreeSet::from([second.job.short()]));
}

#[tokio::test]
async fn a_marker_cannot_claim_files_that_are_not_named_like_ours() {
    let world = World::new(Kind::ANY);
    world.put("out/scores/precious.parquet", "not ours").await;
    let lie = serde_json::json!({
        "job": spec(Mode::Error).job,
        "files": [{ "path": "precious.parquet", "rows": 1, "bytes": 8 }],
    });
    world.put("out/scores/_SUCCESS", &lie.to_string()).await;
    check_refused(&world, spec(Mode::Overwrite), "foreign_files").await;
}

#[tokio::test]
async fn a_destination_around_state_or_staging_is_refused() {
    let world = World::new(Kind::ANY);
    let elsewhere = Location { url: "s3://elsewhere/staging".to_owned(), ..world.at("staging") };
    let cases = [
        ("out", world.at("out/state"), world.at("staging")),
        ("out", world.at("state"), world.at("out/.volley-staging")),
        ("staging/out", world.at("state"), world.at("staging")),
        ("out", world.at("state"), elsewhere),
    ];
    for (destination, state, staging) in cases {
        let begun = Job::begin(&state, &world.at(destination), &staging, spec(Mode::Error)).await;
        assert_eq!(begun.unwrap_err().code(), "destination_invalid");
    }
    // A sibling whose name merely starts the same way is another folder.
    let (state, staging) = (world.at("out-state"), world.at("out-staging"));
    Job::begin(&state, &world.at("out"), &staging, spec(Mode::Error)).await.unwrap();
}

#[tokio::test]
async fn a_commit_needs_every_split_and_every_staged_file() {
    let world = World::new(Kind::ANY);
    let job = world.sites().begin(spec(Mode::Error)).await.unwrap();
    score(&job, 1, &[""]).await.unwrap();
    let error = job.commit().await.unwrap_err();
    assert_eq!(error.code(), "splits_missing");
    assert!(error.to_string().ends_with("has 2 unfinished splits, the first is 0"), "{error}");
    assert_eq!(job.publish().await.unwrap_err().code(), "job_misused");

    score_all(&job, "day=2").await.unwrap();
    let staged = world.snapshot("out/.volley-staging").await;
    world.put(&format!("out/.volley-staging/{}", staged.keys().next().unwrap()), "").await;
    assert_eq!(job.commit().await.unwrap_err().code(), "staged_missing");
    assert_eq!(job.outcome().await.unwrap(), None);
}

#[tokio::test]
async fn contradictory_figures_are_not_sealed() {
    let world = World::new(Kind::ANY);
    let job = world.sites().begin(spec(Mode::Error)).await.unwrap();
    let (attempt, other) = (job.attempt(0), job.attempt(0));
    let file = stage(&job, &attempt, "", "rows").await.unwrap();
    let theirs = stage(&job, &other, "", "rows").await.unwrap();
    let escaping = StagedFile { partition: "../elsewhere".to_owned(), ..file.clone() };
    let short = StagedFile { rows: 0, ..file.clone() };
    for files in [vec![file.clone(), file.clone()], vec![theirs], vec![escaping]] {
        let error = attempt.seal(tally(&files), files).await.unwrap_err();
        assert_eq!(error.code(), "receipt_invalid");
    }
    let error = attempt.seal(tally(&[file]), vec![short]).await.unwrap_err();
    assert!(error.to_string().contains("1 rows were counted, the files hold 0"), "{error}");
    let error = job.attempt(3).seal(Default::default(), vec![]).await.unwrap_err();
    assert!(error.to_string().contains("the job has only 3 splits"), "{error}");
    assert_eq!(job.receipt(0).await.unwrap(), None);
}

#[tokio::test]
async fn a_job_cannot_be_begun_twice_with_different_plans() {
    let world = World::new(Kind::ANY);
    let first = spec(Mode::Error);
    world.sites().begin(first.clone()).await.unwrap();
    world.sites().begin(first.clone()).await.unwrap();
    let other = JobSpec { splits: 4, ..first };
    assert_eq!(world.sites().begin(other).await.unwrap_err().code(), "job_misused");
}

#[test]
fn modes_are_parsed_as_they_are_printed() {
    for mode in super::world::MODES {
        assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
    }
    assert_eq!("replace".parse::<Mode>().unwrap_err().code(), "unknown_mode");
}
