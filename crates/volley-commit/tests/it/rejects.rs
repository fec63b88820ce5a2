//! Jobs with a second place, for what they reject: whatever happens, both hold the new state or both the old one.

use volley_commit::{FileFault, Job, JobSpec, Mode, Outcome, RejectsAt, Result, verify};

use super::faults::{FAULTS, Fault};
use super::world::{KINDS, Kind, Sites, Snapshot, World, score_all, spec};

/// What lies at the place of the result, and at that of the rejects.
type Both = (Snapshot, Snapshot);

async fn seen(world: &World) -> Both {
    (world.destination().await, world.rejects().await)
}

async fn publish(sites: &Sites, spec: JobSpec) -> Result<Job> {
    let job = sites.begin_rejecting(spec, 2).await?;
    score_all(&job, "day=2").await?;
    job.commit().await?;
    job.publish().await?;
    Ok(job)
}

/// A world, in which another job has been before unless it must not.
async fn world(kind: Kind, mode: Mode, earlier: &JobSpec) -> World {
    let world = World::new(kind);
    if mode != Mode::Error {
        publish(&world.sites(), earlier.clone()).await.unwrap();
    }
    world
}

async fn check_every_call(kind: Kind, mode: Mode) {
    let (earlier, job) = (spec(Mode::Error), spec(mode));
    let undisturbed = world(kind, mode, &earlier).await;
    let before = seen(&undisturbed).await;
    let (store, sites) = undisturbed.faulty(Fault::CrashBefore, usize::MAX);
    publish(&sites, job.clone()).await.unwrap();
    let after = seen(&undisturbed).await;
    assert_ne!(before.1, after.1);
    let faults = if kind == Kind::Memory { &FAULTS[..] } else { &[Fault::CrashBefore, Fault::LostAnswer] };
    for fault in faults {
        for at in 0..store.calls() {
            let label = format!("{kind:?} {mode} call {at} {fault:?}");
            let world = world(kind, mode, &earlier).await;
            let (_, sites) = world.faulty(*fault, at);
            let ended = publish(&sites, job.clone()).await;
            let committed = |outcome| matches!(outcome, Some(Outcome::Committed { .. }));
            let now = seen(&world).await;
            match committed(world.outcome(job.job).await) {
                false => assert_eq!(now, before, "{label}: undecided, yet something has changed"),
                true if now.0 == after.0 => assert_eq!(now.1, after.1, "{label}: a whole result without its rejects"),
                true => {}
            }
            world.recover(&world.sites()).await.unwrap();
            let decided = committed(world.outcome(job.job).await);
            assert!(decided || ended.is_err(), "{label}: success without a result");
            assert_eq!(seen(&world).await, if decided { after.clone() } else { before.clone() }, "{label}");
            for staging in ["out/.volley-staging", "bad/.volley-staging"] {
                assert_eq!(world.snapshot(staging).await, Snapshot::new(), "{label}: {staging}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_call_of_a_job_with_rejects_may_fail_in_memory() {
    for mode in [Mode::Error, Mode::Append, Mode::Overwrite] {
        check_every_call(Kind::Memory, mode).await;
    }
}

#[tokio::test(start_paused = true)]
async fn any_call_of_a_job_with_rejects_may_fail_on_disk() {
    for mode in [Mode::Error, Mode::Overwrite] {
        check_every_call(Kind::Disk, mode).await;
    }
}

#[tokio::test]
async fn splits_that_rejected_too_much_together_are_not_committed() {
    let world = World::new(Kind::Memory);
    let job = world.sites().begin_rejecting(spec(Mode::Error), 1).await.unwrap();
    score_all(&job, "day=2").await.unwrap();
    let refused = job.commit().await.unwrap_err();
    assert_eq!(refused.code(), "too_many_rejects");
    assert!(refused.to_string().starts_with("2 rows cannot be scored, more than max_rejects = 1 allows"));
    job.abort("too many").await.unwrap();
    assert_eq!(seen(&world).await, (Snapshot::new(), Snapshot::new()));
}

#[tokio::test]
async fn rejects_that_overlap_with_the_result_are_refused() {
    for kind in KINDS {
        let world = World::new(kind);
        let sites = world.sites();
        for place in ["out/scores", "out/scores/bad", "out", "out/.volley-staging/bad", "state/bad"] {
            let rejects = RejectsAt {
                destination: world.at(place),
                staging: world.at("elsewhere/.volley-staging"),
                extension: "rows".to_owned(),
                max: 1,
            };
            let begun = Job::begin_pinned(
                &sites.state,
                &sites.destination,
                &sites.staging,
                Some(rejects),
                spec(Mode::Error),
                Default::default(),
            );
            assert_eq!(begun.await.map(|_| ()).map_err(|error| error.code()), Err("destination_invalid"), "{place}");
        }
        assert_eq!(world.snapshot("").await, Snapshot::new());
    }
}

/// Each job's result is where the other's rejects are.
#[tokio::test]
async fn jobs_that_cross_each_other_have_their_turns_one_after_the_other() {
    let world = World::new(Kind::Memory);
    let sites = world.sites();
    let crossed = Sites {
        destination: sites.rejects.clone(),
        staging: sites.rejects_staging.clone(),
        rejects: sites.destination.clone(),
        rejects_staging: sites.staging.clone(),
        ..sites.clone()
    };
    let (first, second) = (spec(Mode::Overwrite), spec(Mode::Overwrite));
    let first = sites.begin_rejecting(first, 2).await.unwrap();
    let second = crossed.begin_rejecting(second, 2).await.unwrap();
    score_all(&first, "day=2").await.unwrap();
    score_all(&second, "day=2").await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(second.commit().await.unwrap_err().code(), "destination_busy");
    assert!(!second.has_turn().await.unwrap(), "what waits holds nothing that the other needs");
    first.publish().await.unwrap();
    second.commit().await.unwrap();
    second.publish().await.unwrap();
    assert!(world.rejects().await.keys().any(|path| path.starts_with("day=2/")), "the second result lies there now");
}

#[tokio::test]
async fn files_of_rejects_are_verified_with_those_of_the_result() {
    let world = World::new(Kind::Memory);
    let sites = world.sites();
    let job = publish(&sites, spec(Mode::Error)).await.unwrap();
    let known = sites.clone();
    let open = move |url: &str| known.open(url);
    let whole = verify(&sites.state, job.id(), &open).await.unwrap().unwrap();
    assert_eq!((whole.rows, whole.rejected, whole.files, whole.faults), (4, 2, 6, vec![]));
    let rejects = world.rejects().await;
    let file = rejects.keys().find(|path| path.starts_with("part-")).unwrap();
    world.remove(&format!("bad/rejects/{file}")).await;
    let faults = verify(&sites.state, job.id(), &open).await.unwrap().unwrap().faults;
    assert!(matches!(&faults[..], [FileFault { fault: "it is gone", .. }]), "{faults:?}");
}
