//! What vanishes from staging after the decision is made again, exactly, or not at all.

use volley_commit::{Job, Mode, Side, StagedFile};

use super::world::{Fault, KINDS, Kind, Snapshot, World, spec, stage, tally};

/// A split of two files, whose bytes are those of this attempt and whose rows are those of the split.
async fn files(job: &Job, attempt: &volley_commit::Attempt, bytes: &str, rows: &str) -> Vec<StagedFile> {
    let mut files = vec![];
    for partition in ["day=1", "day=2"] {
        let file = stage(job, attempt, partition, &format!("{partition} {bytes}")).await.unwrap();
        files.push(StagedFile { rows_sum: Some(format!("{partition} {rows}")), ..file });
    }
    files
}

/// A job of three splits, decided.
async fn committed(world: &World) -> Job {
    let job = world.sites().begin(spec(Mode::Append)).await.unwrap();
    for split in 0..3 {
        let attempt = job.attempt(split);
        let files = files(&job, &attempt, "first", &split.to_string()).await;
        attempt.seal(tally(&files), files).await.unwrap();
    }
    job.commit().await.unwrap();
    job
}

/// Takes a split's files out of staging.
async fn lose(world: &World, job: &Job, split: u32, files: usize) {
    let receipt = job.receipt(split).await.unwrap().unwrap();
    for file in &receipt.files[..files] {
        let volley_commit::Staged::Object { name } = &file.staged else { panic!("{file:?}") };
        world.remove(&format!("out/.volley-staging/{}/{name}", job.id())).await;
    }
}

async fn repair(job: &Job, split: u32, bytes: &str) -> volley_commit::Result<bool> {
    let attempt = job.attempt(split);
    let files = files(job, &attempt, bytes, &split.to_string()).await;
    attempt.repair(tally(&files), files).await
}

#[tokio::test]
async fn a_split_that_vanished_is_replaced_by_the_same_rows() {
    for (kind, lost) in KINDS.into_iter().flat_map(|kind| [(kind, 1), (kind, 2)]) {
        let world = World::new(kind);
        let job = committed(&world).await;
        assert!(job.lost_splits().await.unwrap().is_empty());
        lose(&world, &job, 1, lost).await;
        assert_eq!(job.publish().await.unwrap_err().code(), "staged_missing");
        assert_eq!(job.lost_splits().await.unwrap(), [1]);

        assert!(repair(&job, 1, "again, and longer").await.unwrap());
        assert!(job.lost_splits().await.unwrap().is_empty());
        let published = job.publish().await.unwrap();
        assert_eq!(published.files.len(), 6);
        let seen = world.destination().await;
        for file in &published.files {
            assert_eq!(file.bytes, seen[&file.path].as_ref().unwrap().len() as u64, "{}", file.path);
        }
        let again = seen.values().flatten().filter(|body| body.ends_with(b"again, and longer")).count();
        assert_eq!(again, lost, "what was still there was not replaced");
        assert_eq!(world.snapshot("out/.volley-staging").await, Snapshot::new());
        assert_eq!(job.publish().await.unwrap(), published);
    }
}

#[tokio::test]
async fn other_rows_than_were_promised_are_refused() {
    let world = World::new(Kind::ANY);
    let job = committed(&world).await;
    lose(&world, &job, 0, 1).await;
    let attempt = job.attempt(0);
    let other = files(&job, &attempt, "again", "other rows").await;
    let error = attempt.repair(tally(&other), other.clone()).await.unwrap_err();
    assert_eq!(error.code(), "repair_differs");
    assert!(!error.is_transient());
    let unproven: Vec<_> = other.into_iter().map(|file| StagedFile { rows_sum: None, ..file }).collect();
    let error = attempt.repair(tally(&unproven), unproven).await.unwrap_err();
    assert_eq!(error.code(), "repair_differs", "without a checksum nothing is proven");
    assert_eq!(job.lost_splits().await.unwrap(), [0], "nothing is guessed");
}

#[tokio::test]
async fn one_repair_of_two_is_chosen_and_the_other_is_taken_away() {
    let world = World::new(Kind::ANY);
    let job = committed(&world).await;
    lose(&world, &job, 2, 2).await;
    assert!(repair(&job, 2, "one").await.unwrap());
    assert!(!repair(&job, 2, "other").await.unwrap());
    job.publish().await.unwrap();
    let seen = world.destination().await;
    assert!(seen.values().flatten().all(|body| !body.ends_with(b"other")));
}

#[tokio::test]
async fn a_repair_that_comes_after_the_end_changes_nothing() {
    for repaired in [false, true] {
        let world = World::new(Kind::ANY);
        let job = committed(&world).await;
        let late = job.attempt(1);
        let files = files(&job, &late, "late", "1").await;
        if repaired {
            lose(&world, &job, 0, 2).await;
            assert!(repair(&job, 0, "again").await.unwrap());
        }
        job.publish().await.unwrap();
        // Its file is staged again, as an upload that lands after the end.
        let volley_commit::Staged::Object { name } = &files[0].staged else { panic!("{files:?}") };
        world.put(&format!("out/.volley-staging/{}/{name}", job.id()), "day=1 late").await;
        let before = world.destination().await;
        assert!(!late.repair(tally(&files), files).await.unwrap());
        assert_eq!(world.destination().await, before);
        assert_eq!(world.snapshot("out/.volley-staging").await, Snapshot::new());
    }
}

/// Whether the repair got as far as the call that was to fail.
pub async fn died_in_repair(fault: Fault, at: usize) -> bool {
    let label = format!("call {at} {fault:?}");
    let world = World::new(Kind::ANY);
    let job = committed(&world).await;
    lose(&world, &job, 1, 2).await;
    let (store, sites) = world.faulty(fault, at);
    let known = sites.clone();
    if let Ok(opened) = Job::open(&sites.state, job.id(), &move |url| known.open(url)).await {
        let _ = try_repair(&opened).await;
    }
    let seen = world.destination().await;
    assert!(!seen.contains_key("_SUCCESS") || seen.len() == 7, "{label}: {:?}", seen.keys());

    for split in job.lost_splits().await.unwrap() {
        assert!(repair(&job, split, "again").await.unwrap(), "{label}");
    }
    let recovered = world.recover(&world.sites()).await.unwrap();
    assert!(recovered.iter().all(|job| matches!(job.side, Side::RolledForward(_))), "{label}: {recovered:?}");
    let seen = world.destination().await;
    let again = seen.values().flatten().filter(|body| body.ends_with(b"again")).count();
    assert_eq!((seen.len(), again), (7, 2), "{label}: {:?}", seen.keys());
    assert_eq!(world.snapshot("out/.volley-staging").await, Snapshot::new(), "{label}");
    store.calls() > at
}

async fn try_repair(job: &Job) -> volley_commit::Result<()> {
    for split in job.lost_splits().await? {
        let attempt = job.attempt(split);
        let mut files = vec![];
        for partition in ["day=1", "day=2"] {
            let file = stage(job, &attempt, partition, &format!("{partition} again")).await?;
            files.push(StagedFile { rows_sum: Some(format!("{partition} {split}")), ..file });
        }
        attempt.repair(tally(&files), files).await?;
    }
    job.publish().await.map(drop)
}
