//! What a job is kept with: keys, plans, stores that are fit, and staging that is swept.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::ObjectStoreExt;
use volley_commit::{
    COLLECT_AGE_MIN, Error, Job, JobId, Location, Mode, Outcome, Pinned, Tally, collect, job_of_key, job_receipt, jobs,
    preflight, verify,
};

use super::faults::{Fault, FaultyStore};
use super::world::{KINDS, Kind, World, publish, score, score_all, spec, stage, stage_rejects};

fn later(by: Duration) -> SystemTime {
    SystemTime::now() + by
}

#[tokio::test]
async fn a_key_stands_for_its_first_job_and_for_no_other_request() {
    for kind in KINDS {
        let world = World::new(kind);
        let state = world.sites().state;
        let (first, second) = (JobId::new(), JobId::new());
        assert_eq!(job_of_key(&state, "nightly", b"SELECT 1", first).await.unwrap(), first);
        assert_eq!(job_of_key(&state, "nightly", b"SELECT 1", second).await.unwrap(), first);
        assert_eq!(job_of_key(&state, "hourly", b"SELECT 1", second).await.unwrap(), second);
        let reused = job_of_key(&state, "nightly", b"SELECT 2", second).await.unwrap_err();
        assert_eq!(reused.code(), "key_reused");
        assert!(reused.to_string().contains(&first.to_string()), "{reused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_come_with_one_key_at_once_get_one_job() {
    for kind in KINDS {
        let world = World::new(kind);
        let state = world.sites().state;
        let asked: Vec<_> = (0..64)
            .map(|_| {
                let state = state.clone();
                tokio::spawn(async move { job_of_key(&state, "nightly", b"SELECT 1", JobId::new()).await.unwrap() })
            })
            .collect();
        let mut jobs = vec![];
        for job in asked {
            jobs.push(job.await.unwrap());
        }
        jobs.dedup();
        assert_eq!(jobs.len(), 1);
    }
}

#[tokio::test]
async fn a_plan_keeps_what_its_splits_were_cut_from() {
    let world = World::new(Kind::ANY);
    let sites = world.sites();
    let inputs = serde_json::json!([{ "path": "flights.parquet", "size": 10, "row_groups": [0, 1] }]);
    let pinned = Pinned { inputs, determinism: Some("splits".to_owned()), ..Pinned::default() };
    let spec = spec(Mode::Error);
    let begin =
        |pinned| Job::begin_pinned(&sites.state, &sites.destination, &sites.staging, None, spec.clone(), pinned);
    begin(Pinned { physical: Some(vec![0, 127, 255]), ..pinned.clone() }).await.unwrap();
    let known = sites.clone();
    let opened = Job::open(&sites.state, spec.job, &move |url| known.open(url)).await.unwrap();
    assert_eq!(opened.plan().pinned, pinned);
    assert_eq!(opened.physical().await.unwrap(), Some(vec![0, 127, 255]), "the physical plan has a record of its own");
    assert_eq!(begin(Pinned::default()).await.unwrap_err().code(), "job_misused", "inputs cannot be exchanged");
}

#[tokio::test]
async fn rows_that_came_in_are_in_the_files_or_rejected() {
    let world = World::new(Kind::ANY);
    let job = world.sites().begin_rejecting(spec(Mode::Error), 1).await.unwrap();
    let attempt = job.attempt(0).with_model("sha256:abc");
    let file = stage(&job, &attempt, "", "row").await.unwrap();
    let reject = stage_rejects(&job, &attempt, "odd row").await.unwrap();
    let lost = Tally { rows_in: 3, rows_out: 1, rejected: 1, null_scores: 0 };
    let error = attempt.seal(lost, vec![file.clone(), reject.clone()]).await.unwrap_err();
    assert!(error.to_string().contains("3 rows came in, 1 went out and 1 were rejected"), "{error}");
    let error = attempt.seal(Tally { rows_in: 2, ..lost }, vec![file.clone()]).await.unwrap_err();
    assert!(error.to_string().contains("1 rows were rejected, the files of the rejects hold 0"), "{error}");
    let sealed = attempt.seal(Tally { rows_in: 2, ..lost }, vec![file, reject]).await.unwrap();
    assert_eq!(sealed.model.as_deref(), Some("sha256:abc"));
}

#[tokio::test]
async fn fit_stores_pass_and_nothing_is_left_of_the_probe() {
    for kind in KINDS {
        let world = World::new(kind);
        preflight(&world.sites().state).await.unwrap();
        assert!(world.snapshot("state").await.is_empty(), "{:?}", world.snapshot("state").await);
    }
}

#[tokio::test]
async fn a_store_that_ignores_the_condition_of_a_create_is_refused() {
    let world = World::new(Kind::ANY);
    let store = Arc::new(FaultyStore::new(world.at("").store, false, Fault::CreateOverwrites, usize::MAX));
    let state = Location { store, ..world.at("state") };
    let refused = preflight(&state).await.unwrap_err();
    assert_eq!(refused.code(), "store_unfit");
    assert!(world.snapshot("state").await.is_empty());
}

#[tokio::test]
async fn what_a_zombie_left_of_a_job_that_is_over_is_swept_when_it_is_old() {
    for kind in KINDS {
        let world = World::new(kind);
        let sites = world.sites();
        let done = spec(Mode::Error);
        publish(&sites, done.clone(), "day=1").await.unwrap();
        let left = format!("out/.volley-staging/{}/000000-zombie-0.staged", done.job);
        world.put(&left, "late").await;

        for age in [Duration::ZERO, COLLECT_AGE_MIN] {
            let young = collect(&sites.state, &sites.staging, later(Duration::from_secs(60)), age).await.unwrap();
            assert!(young.is_empty(), "an hour is the least");
        }
        let swept = collect(&sites.state, &sites.staging, later(2 * COLLECT_AGE_MIN), COLLECT_AGE_MIN).await.unwrap();
        assert_eq!(swept, [done.job]);
        assert!(world.snapshot("out/.volley-staging").await.is_empty());
    }
}

#[tokio::test]
async fn what_is_not_over_is_never_swept() {
    let world = World::new(Kind::ANY);
    let sites = world.sites();
    let undecided = sites.begin(spec(Mode::Append)).await.unwrap();
    let committed = sites.begin(spec(Mode::Append)).await.unwrap();
    score_all(&undecided, "day=1").await.unwrap();
    score_all(&committed, "day=2").await.unwrap();
    committed.commit().await.unwrap();
    world.put(&format!("out/.volley-staging/{}/of-another-state.staged", JobId::new()), "theirs").await;
    let before = world.snapshot("out").await;

    let ages = later(1000 * COLLECT_AGE_MIN);
    assert!(collect(&sites.state, &sites.staging, ages, COLLECT_AGE_MIN).await.unwrap().is_empty());
    assert_eq!(world.snapshot("out").await, before);
    committed.publish().await.unwrap();
    undecided.commit().await.unwrap();
    undecided.publish().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_job_is_left_to_its_owner_or_the_sweep() {
    let world = World::new(Kind::ANY);
    let sites = world.sites();
    let job = sites.begin(spec(Mode::Error)).await.unwrap();
    score_all(&job, "day=1").await.unwrap();
    assert!(matches!(job.cancel("no longer wanted").await.unwrap(), Outcome::Aborted { .. }));
    assert!(!world.snapshot("out/.volley-staging").await.is_empty());
    let swept = collect(&sites.state, &sites.staging, later(2 * COLLECT_AGE_MIN), COLLECT_AGE_MIN).await.unwrap();
    assert_eq!(swept, [job.id()]);
    assert!(matches!(job.commit().await.unwrap(), Outcome::Aborted { .. }));
}

#[tokio::test]
async fn any_call_of_a_sweep_may_fail_and_the_next_one_finishes() {
    let mut at = 0;
    loop {
        let world = World::new(Kind::ANY);
        let done = spec(Mode::Error);
        publish(&world.sites(), done.clone(), "day=1").await.unwrap();
        world.put(&format!("out/.volley-staging/{}/000000-zombie-0.staged", done.job), "late").await;
        let destination = world.destination().await;
        let (store, sites) = world.faulty(Fault::CrashBefore, at);
        let swept = collect(&sites.state, &sites.staging, later(2 * COLLECT_AGE_MIN), COLLECT_AGE_MIN).await;
        assert_eq!(world.destination().await, destination);
        if store.calls() <= at {
            swept.unwrap();
            break;
        }
        assert!(matches!(swept, Err(Error::Store { .. })), "call {at}");
        let sites = world.sites();
        collect(&sites.state, &sites.staging, later(2 * COLLECT_AGE_MIN), COLLECT_AGE_MIN).await.unwrap();
        assert!(world.snapshot("out/.volley-staging").await.is_empty(), "call {at}");
        at += 1;
    }
    assert!(at > 3, "a sweep makes more than {at} calls");
}

#[tokio::test]
async fn a_store_that_answers_nothing_is_not_called_unfit() {
    let world = World::new(Kind::ANY);
    let (_, sites) = world.faulty(Fault::CrashBefore, 0);
    assert!(preflight(&sites.state).await.unwrap_err().is_transient());
    let path = world.at("state/none");
    assert!(path.store.head(&path.prefix).await.is_err());
}

#[tokio::test]
async fn what_is_known_of_a_job_that_is_under_way() {
    for kind in KINDS {
        let world = World::new(kind);
        let sites = world.sites();
        assert!(jobs(&sites.state).await.unwrap().is_empty());
        let job = sites.begin(spec(Mode::Error)).await.unwrap();
        let begun = job.last_written().await.unwrap().unwrap();
        assert_eq!(job.sealed().await.unwrap(), 0);
        score(&job, 1, &["day=1"]).await.unwrap();
        assert_eq!((job.sealed().await.unwrap(), job.has_turn().await.unwrap()), (1, false));
        assert!(job.last_written().await.unwrap().unwrap() >= begun);
        score_all(&job, "day=1").await.unwrap();
        job.commit().await.unwrap();
        assert!(job.has_turn().await.unwrap());
        job.publish().await.unwrap();
        assert!(!job.has_turn().await.unwrap());
        assert_eq!(jobs(&sites.state).await.unwrap(), [job.id()]);
    }
}

#[tokio::test]
async fn a_job_is_verified_by_its_receipt_alone() {
    for kind in KINDS {
        let world = World::new(kind);
        let sites = world.sites();
        let known = sites.clone();
        let open = move |url: &str| known.open(url);
        let check = async |job| verify(&sites.state, job, &open).await.unwrap().unwrap();
        let spec = spec(Mode::Error);
        assert_eq!(verify(&sites.state, spec.job, &open).await.unwrap_err().code(), "unknown_job");
        let job = sites.begin(spec.clone()).await.unwrap();
        assert!(verify(&sites.state, spec.job, &open).await.unwrap().is_none(), "nothing is published");
        for split in 0..3 {
            let attempt = job.attempt(split);
            let mut file = stage(&job, &attempt, "", "rows").await.unwrap();
            // Of `rows`.
            file.sha256 = Some("bc51e9e65d79e1c90ba544ab2eae1044ccdf8c1af7a559ba375cba4276f7d99e".to_owned());
            attempt.seal(super::world::tally(std::slice::from_ref(&file)), vec![file]).await.unwrap();
        }
        job.commit().await.unwrap();
        job.publish().await.unwrap();
        for record in ["plan", "outcome", "published"] {
            world.remove(&format!("state/jobs/{}/{record}.json", spec.job)).await;
        }
        let receipt = job_receipt(&sites.state, spec.job).await.unwrap().unwrap();
        assert_eq!((receipt.tally.rows_out, receipt.files.len(), receipt.version), (3, 3, 1));
        assert_eq!(check(spec.job).await.faults, []);
        let path = format!("out/scores/{}", receipt.files[1].path);
        for (body, fault) in [("sowr", "it has other bytes"), ("more rows", "it has another size")] {
            world.put(&path, body).await;
            let found = check(spec.job).await;
            assert_eq!((found.files, found.faults.len(), found.faults[0].fault), (3, 1, fault));
        }
        world.remove(&path).await;
        assert_eq!(check(spec.job).await.faults[0].fault, "it is gone");
    }
}
