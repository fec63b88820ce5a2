//! The suite of `volley-commit` itself, its crashes, races, modes, repairs and sweeps, over the S3 client of
//! `object_store` and a real S3 server. It is the same code, of which each test is run here too; see
//! `crates/volley-commit/tests/it`.
//!
//! Of the calls of a job every sixty-first fails in turn; all of them do on demand: `EVERY_CALL=1 ./test s3_commits`.

/// What only other stores need is in it too.
#[expect(dead_code, reason = "the parts that a disk or a stopped clock are needed for are left out here")]
#[path = "../../crates/volley-commit/tests/it"]
mod suite {
    pub mod crashes;
    pub mod faults;
    mod modes;
    mod partitions;
    mod races;
    mod repairs;
    #[path = "../../../../tests/it/s3_ground.rs"]
    pub mod stores;
    mod upkeep;
    pub mod world;
}

use volley_commit::Mode;

use suite::crashes::{Story, Then, check_calls_of_recovery};
use suite::faults::{FAULTS, Fault};
use suite::stores::Kind;

/// How far apart the calls are that fail. No divisor of how many a job makes, so that each fault meets others.
fn step() -> usize {
    if std::env::var_os("EVERY_CALL").is_some() { 1 } else { 61 }
}

async fn check_calls(mode: Mode) {
    let story = Story::new(Kind::Bucket, mode).await;
    assert!(story.calls > 40, "a job of three splits makes more than {} calls", story.calls);
    let disturbances = FAULTS.into_iter().flat_map(|fault| [(fault, Then::Die), (fault, Then::Abort)]);
    for (nth, (fault, then)) in disturbances.enumerate() {
        for at in (nth % step()..story.calls).step_by(step()) {
            story.check(fault, at, then).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_new_result_may_fail() {
    check_calls(Mode::Error).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_an_appended_result_may_fail() {
    check_calls(Mode::Append).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_an_overwriting_result_may_fail() {
    check_calls(Mode::Overwrite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_result_that_replaces_partitions_may_fail() {
    check_calls(Mode::OverwritePartitions).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_dies_is_finished_by_the_next() {
    for decided in [true, false] {
        check_calls_of_recovery(Kind::Bucket, decided, &[Fault::CrashAfter, Fault::LostAnswer], step()).await;
    }
}
