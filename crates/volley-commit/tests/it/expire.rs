//! Jobs that are long over are forgotten, and what is needed of them stays.

use std::time::{Duration, SystemTime};

use volley_commit::{COLLECT_AGE_MIN, Job, JobId, Keys, Mode, Outcome, job_of_key, verify};

use super::faults::Fault;
use super::world::{KINDS, Kind, Sites, World, publish, score_all, spec};

fn later() -> SystemTime {
    SystemTime::now() + 2 * COLLECT_AGE_MIN
}

async fn open(sites: &Sites, job: JobId) -> volley_commit::Result<Job> {
    let known = sites.clone();
    Job::open(&sites.state, job, &move |url| known.open(url)).await
}

#[tokio::test]
async fn a_forgotten_job_leaves_its_outcome_and_its_receipt() {
    for kind in KINDS {
        let world = World::new(kind);
        let sites = world.sites();
        let done = spec(Mode::Error);
        publish(&sites, done.clone(), "day=1").await.unwrap();
        world.put(&format!("out/.volley-staging/{}/000000-zombie-0.staged", done.job), "late").await;
        let destination = world.destination().await;

        assert!(open(&sites, done.job).await.unwrap().forget(later(), Duration::ZERO).await.unwrap());

        let mut left: Vec<_> = world.snapshot(&format!("state/jobs/{}", done.job)).await.into_keys().collect();
        left.sort();
        assert_eq!(left, ["outcome.json", "published.json", "receipt.json"]);
        assert!(world.snapshot("out/.volley-staging").await.is_empty());
        assert_eq!(world.destination().await, destination);
        let known = sites.clone();
        let verified = verify(&sites.state, done.job, &move |url| known.open(url)).await.unwrap().unwrap();
        assert_eq!((verified.files, verified.faults), (4, vec![]));
        assert_eq!(open(&sites, done.job).await.unwrap_err().code(), "unknown_job");
    }
}

#[tokio::test]
async fn what_a_forgotten_job_published_is_still_known_as_ours() {
    for kind in KINDS {
        let world = World::new(kind);
        let sites = world.sites();
        let (first, aborted) = (spec(Mode::Error), spec(Mode::Append));
        publish(&sites, first.clone(), "day=1").await.unwrap();
        let given_up = sites.begin(aborted.clone()).await.unwrap();
        score_all(&given_up, "day=2").await.unwrap();
        given_up.abort("no longer wanted").await.unwrap();
        for job in [first.job, aborted.job] {
            assert!(open(&sites, job).await.unwrap().forget(later(), Duration::ZERO).await.unwrap());
        }
        // Without the marker, which lists them too.
        world.remove("out/scores/_SUCCESS").await;

        publish(&sites, spec(Mode::Append), "day=3").await.unwrap();
        let last = spec(Mode::Overwrite);
        publish(&sites, last.clone(), "day=4").await.unwrap();

        let left = world.destination().await;
        let is_of_last = |file: &&String| file.contains(&last.job.short());
        assert_eq!(left.keys().filter(|file| file.contains("part-")).count(), 4);
        assert_eq!(left.keys().filter(is_of_last).count(), 4, "{:?}", left.keys());
    }
}

#[tokio::test]
async fn what_is_young_undecided_or_not_published_is_kept() {
    let world = World::new(Kind::ANY);
    let sites = world.sites();
    let undecided = sites.begin(spec(Mode::Append)).await.unwrap();
    let committed = sites.begin(spec(Mode::Append)).await.unwrap();
    score_all(&committed, "day=2").await.unwrap();
    committed.commit().await.unwrap();
    let before = world.snapshot("").await;
    for job in [&undecided, &committed] {
        assert!(!job.forget(later(), Duration::ZERO).await.unwrap());
    }
    assert_eq!(world.snapshot("").await, before);

    committed.publish().await.unwrap();
    assert!(!committed.forget(SystemTime::now(), Duration::ZERO).await.unwrap(), "an hour is the least");
    assert!(!committed.forget(later(), 3 * COLLECT_AGE_MIN).await.unwrap());
    assert!(open(&sites, committed.id()).await.is_ok());
}

#[tokio::test]
async fn a_key_is_forgotten_with_its_job_and_the_name_is_not_used_again() {
    for kind in KINDS {
        let world = World::new(kind);
        let sites = world.sites();
        let done = spec(Mode::Error);
        let other = JobId::new();
        job_of_key(&sites.state, "nightly", b"SELECT 1", done.job).await.unwrap();
        job_of_key(&sites.state, "hourly", b"SELECT 1", other).await.unwrap();
        publish(&sites, done.clone(), "day=1").await.unwrap();

        Keys::of(&sites.state).await.unwrap().forget(done.job).await.unwrap();
        open(&sites, done.job).await.unwrap().forget(later(), Duration::ZERO).await.unwrap();

        let new = JobId::new();
        assert_eq!(job_of_key(&sites.state, "nightly", b"SELECT 2", new).await.unwrap(), new);
        assert_eq!(job_of_key(&sites.state, "hourly", b"SELECT 1", new).await.unwrap(), other);
        let refused = sites.begin(done).await.unwrap_err();
        assert_eq!(refused.code(), "job_misused");
        assert!(refused.to_string().contains("its plan is forgotten"), "{refused}");
        assert!(world.snapshot("state/open").await.is_empty());
    }
}

#[tokio::test]
async fn any_call_of_forgetting_may_fail_and_the_next_one_finishes() {
    let mut at = 0;
    loop {
        let world = World::new(Kind::ANY);
        let done = spec(Mode::Error);
        publish(&world.sites(), done.clone(), "day=1").await.unwrap();
        let destination = world.destination().await;
        let (store, sites) = world.faulty(Fault::CrashBefore, at);
        let forgotten = async { open(&sites, done.job).await?.forget(later(), Duration::ZERO).await }.await;
        if store.calls() <= at {
            assert!(forgotten.unwrap());
            break;
        }
        assert!(forgotten.unwrap_err().is_transient(), "call {at}");
        let sites = world.sites();
        // Cut off, it is the job that it was, or forgotten.
        match open(&sites, done.job).await {
            Ok(job) => {
                assert!(matches!(job.outcome().await.unwrap(), Some(Outcome::Committed { .. })), "call {at}");
                assert!(job.forget(later(), Duration::ZERO).await.unwrap(), "call {at}");
            }
            Err(error) => assert_eq!(error.code(), "unknown_job"),
        }
        let left = world.snapshot(&format!("state/jobs/{}", done.job)).await;
        assert_eq!(left.len(), 3, "call {at}: {:?}", left.keys());
        assert_eq!(world.destination().await, destination, "call {at}");
        at += 1;
    }
    assert!(at > 8, "forgetting makes more than {at} calls");
}
