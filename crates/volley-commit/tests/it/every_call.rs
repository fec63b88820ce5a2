//! The stories of the other modules with every single call failing in turn: thousands of jobs, whose waits cost nothing
//! because the clock is the test's.

use volley_commit::Mode;

use super::crashes::{Story, Then, check_calls_of_recovery};
use super::faults::FAULTS;
use super::repairs::died_in_repair;
use super::stores::{KINDS, Kind};
use super::world::{Fault, World, spec};

async fn check_every_call(kind: Kind, mode: Mode) {
    let story = Story::new(kind, mode).await;
    assert!(story.calls > 40, "a job of three splits makes more than {} calls", story.calls);
    for (fault, then) in disturbances(kind) {
        for at in 0..story.calls {
            story.check(fault, at, then).await;
        }
    }
}

/// All of them in memory; on disk, where a job takes milliseconds, one of each sort.
fn disturbances(kind: Kind) -> Vec<(Fault, Then)> {
    use Fault::{CrashAfter, CrashBefore, DiskFull, LostAnswer};
    match kind {
        Kind::Disk => {
            vec![(CrashBefore, Then::Die), (CrashAfter, Then::Die), (LostAnswer, Then::Abort), (DiskFull, Then::Abort)]
        }
        Kind::Memory => FAULTS.into_iter().flat_map(|fault| [(fault, Then::Die), (fault, Then::Abort)]).collect(),
    }
}

async fn check_every_recovery(decided: bool) {
    for kind in KINDS {
        let mut faults: Vec<_> = disturbances(kind).iter().map(|(fault, _)| *fault).collect();
        faults.dedup();
        check_calls_of_recovery(kind, decided, &faults, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn any_call_of_a_new_result_may_fail_in_memory() {
    check_every_call(Kind::Memory, Mode::Error).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_of_an_appended_result_may_fail_in_memory() {
    check_every_call(Kind::Memory, Mode::Append).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_of_an_overwriting_result_may_fail_in_memory() {
    check_every_call(Kind::Memory, Mode::Overwrite).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_of_a_result_that_replaces_partitions_may_fail_in_memory() {
    check_every_call(Kind::Memory, Mode::OverwritePartitions).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_of_a_new_result_may_fail_on_disk() {
    check_every_call(Kind::Disk, Mode::Error).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_of_an_appended_result_may_fail_on_disk() {
    check_every_call(Kind::Disk, Mode::Append).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_of_an_overwriting_result_may_fail_on_disk() {
    check_every_call(Kind::Disk, Mode::Overwrite).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_of_a_result_that_replaces_partitions_may_fail_on_disk() {
    check_every_call(Kind::Disk, Mode::OverwritePartitions).await;
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_dies_while_publishing_is_finished_by_the_next() {
    check_every_recovery(true).await;
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_dies_while_discarding_is_finished_by_the_next() {
    check_every_recovery(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_begun_has_plainly_failed() {
    for (fault, code) in [(Fault::CrashBefore, "store_failed"), (Fault::DiskFull, "disk_full")] {
        let mut at = 0;
        loop {
            let world = World::new(Kind::Memory);
            let (store, sites) = world.faulty(fault, at);
            let begun = sites.begin(spec(Mode::Error)).await;
            if store.calls() <= at {
                break;
            }
            assert_eq!(begun.map(|_| ()).map_err(|error| error.code()), Err(code), "{fault:?} at call {at}");
            at += 1;
        }
        assert!(at > 4, "beginning a job makes more than {at} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn any_call_of_a_repair_and_its_publish_may_fail() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::LostAnswer, Fault::LostRequest, Fault::FalseExists] {
        let mut at = 0;
        while died_in_repair(fault, at).await {
            at += 1;
        }
        assert!(at > 60, "a repair and its publish make more than {at} calls");
    }
}
