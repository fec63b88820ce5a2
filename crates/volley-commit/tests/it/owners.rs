//! Who may touch a destination where no lock dies with its holder.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use volley_commit::{Before, Location, Mode, Owner, Waits};

use super::world::{Fault, Kind, Sites, Snapshot, World, publish, score_all, spec};

async fn take_over(sites: &Sites) -> Arc<Owner> {
    Arc::new(Owner::take_over(&sites.state, "test", Before::Unknown).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_takeover_waits_as_long_as_the_owner_before_can_have_a_request_under_way() {
    let world = World::new(Kind::Memory);
    let (sites, waits) = (world.sites(), Waits::default());
    let cases = [
        (Before::Unknown, Duration::ZERO, "the first owner"),
        (Before::Unknown, waits.lease + waits.request, "one who knows nothing"),
        (Before::Dead, waits.drain, "one who has the lock of the dead"),
    ];
    for (nth, (before, expected, label)) in (1..).zip(cases) {
        let start = Instant::now();
        let owner = Owner::take_over(&sites.state, "test", before).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "what is safe under two owners need not wait");
        assert_eq!((owner.epoch(), owner.waits_for()), (nth, expected), "{label}");
        owner.check().await.unwrap();
        assert_eq!(start.elapsed(), expected, "{label}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_an_owner_that_was_released() {
    let world = World::new(Kind::Memory);
    let owner = Owner::take_over(&world.sites().state, "test", Before::Unknown).await.unwrap();
    owner.release().await.unwrap();
    assert_eq!(take_over(&world.sites()).await.waits_for(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_replaced_leaves_the_destination_alone() {
    let world = World::new(Kind::Memory);
    let sites = world.sites();
    let old = take_over(&sites).await;
    let job = sites.begin(spec(Mode::Append)).await.unwrap().owned_by(old.clone());
    score_all(&job, "day=1").await.unwrap();
    job.commit().await.unwrap();

    let new = take_over(&sites).await;
    new.check().await.unwrap();
    assert_eq!(old.check().await.unwrap_err().code(), "owner_replaced");
    assert_eq!(job.publish().await.unwrap_err().code(), "owner_replaced");
    assert_eq!(world.destination().await, Snapshot::new());

    job.clone().owned_by(new).publish().await.unwrap();
    let seen = world.destination().await;
    assert_eq!(job.publish().await.unwrap_err().code(), "owner_replaced", "even where nothing is left to do");
    assert_eq!(world.destination().await, seen);
}

#[tokio::test(start_paused = true)]
async fn an_owner_asks_the_store_once_a_lease() {
    let world = World::new(Kind::Memory);
    let (store, sites) = world.faulty(Fault::CrashBefore, usize::MAX);
    let owner = take_over(&sites).await;
    owner.check().await.unwrap();
    let calls = store.calls();
    for _ in 0..100 {
        owner.check().await.unwrap();
    }
    assert_eq!(store.calls(), calls);
    tokio::time::advance(Waits::default().lease).await;
    owner.check().await.unwrap();
    assert_eq!(store.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn waits_are_settings_of_the_state() {
    let world = World::new(Kind::Memory);
    let short = Duration::from_millis(1);
    let waits = Waits { lease: short, request: short, drain: short, pauses: [short; 3] };
    let state = Location { waits, ..world.sites().state };
    for _ in 0..2 {
        Owner::take_over(&state, "test", Before::Unknown).await.unwrap();
    }
    let owner = Owner::take_over(&state, "test", Before::Unknown).await.unwrap();
    assert_eq!(owner.waits_for(), 2 * short);
}

#[tokio::test(start_paused = true)]
async fn any_call_of_a_takeover_may_fail_and_the_next_one_finishes_the_job() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::LostAnswer, Fault::LostRequest, Fault::FalseExists] {
        let mut at = 0;
        while died_in_takeover(fault, at).await {
            at += 1;
        }
        assert!(at > 40, "a takeover and a publish make more than {at} calls");
    }
}

/// Whether the takeover got as far as the call that was to fail.
async fn died_in_takeover(fault: Fault, at: usize) -> bool {
    let label = format!("call {at} {fault:?}");
    let world = World::new(Kind::Memory);
    publish(&world.sites(), spec(Mode::Error), "day=1").await.unwrap();
    let before = world.destination().await;
    let job = world.sites().begin(spec(Mode::Overwrite)).await.unwrap();
    score_all(&job, "day=2").await.unwrap();

    let (store, sites) = world.faulty(fault, at);
    let finished = finish(&sites, &job).await;
    let seen = world.destination().await;
    let whole = seen == before || seen.keys().all(|path| !path.starts_with("day=1"));
    assert!(whole || !seen.contains_key("_SUCCESS"), "{label}: {:?}", seen.keys());

    finish(&world.sites(), &job).await.unwrap();
    let seen = world.destination().await;
    assert!(seen.contains_key("_SUCCESS") && seen.len() == 5, "{label}: {:?}", seen.keys());
    assert_eq!(world.snapshot("out/.volley-staging").await, Snapshot::new(), "{label}");
    assert!(finished.is_ok() || store.calls() > at, "{label}: {finished:?}");
    store.calls() > at
}

async fn finish(sites: &Sites, job: &volley_commit::Job) -> volley_commit::Result<()> {
    let owner = Owner::take_over(&sites.state, "test", Before::Unknown).await?;
    let known = sites.clone();
    let job = volley_commit::Job::open(&sites.state, job.id(), &move |url| known.open(url)).await?;
    let job = job.owned_by(Arc::new(owner));
    job.commit().await?;
    job.publish().await.map(drop)
}
