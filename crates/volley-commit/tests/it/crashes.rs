//! Whatever call fails, and however: the destination is as before, or exactly the new state.

use volley_commit::{Job, JobSpec, Mode, Outcome, Result, Side};

use super::faults::FAULTS;
use super::world::{Fault, KINDS, Kind, MODES, Sites, Snapshot, World, publish, recover_all, score_all, spec};

/// What a process does when a call failed and it is still alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Die,
    Abort,
}

/// A destination before and after one job, to compare disturbed runs of the same job with.
pub struct Story {
    kind: Kind,
    earlier: Option<JobSpec>,
    pub job: JobSpec,
    before: Snapshot,
    pub after: Snapshot,
    pub calls: usize,
}

impl Story {
    pub async fn new(kind: Kind, mode: Mode) -> Self {
        let earlier = (mode != Mode::Error).then(|| spec(Mode::Error));
        let mut story =
            Self { kind, earlier, job: spec(mode), before: Snapshot::new(), after: Snapshot::new(), calls: 0 };
        let world = story.world().await;
        story.before = world.destination().await;
        let (store, sites) = world.faulty(Fault::CrashBefore, usize::MAX);
        publish(&sites, story.job.clone(), "day=2").await.unwrap();
        story.after = world.destination().await;
        story.calls = store.calls();
        story
    }

    /// A fresh world in which the job has not begun.
    pub async fn world(&self) -> World {
        let world = World::new(self.kind);
        if let Some(earlier) = &self.earlier {
            // Some of it stays, and some of it is in the way.
            let day = if self.job.mode == Mode::OverwritePartitions { "day=2" } else { "day=1" };
            publish(&world.sites(), earlier.clone(), day).await.unwrap();
        }
        if self.job.mode == Mode::Append {
            world.put("out/scores/notes.txt", "not ours").await;
        }
        world
    }

    async fn committed(&self, world: &World) -> bool {
        matches!(world.outcome(self.job.job).await, Some(Outcome::Committed { .. }))
    }

    /// What must hold at any moment, also before anyone has recovered anything.
    pub async fn check_moment(&self, world: &World, label: &str) {
        let seen = world.destination().await;
        if !self.committed(world).await {
            assert_eq!(seen, self.before, "{label}: undecided, yet the destination has changed");
        } else if seen.contains_key("_SUCCESS") {
            // Folders may be made before the marker goes: nobody reads a folder.
            let whole = files(&seen) == files(&self.after) || files(&seen) == files(&self.before);
            assert!(whole, "{label}: marked as whole, yet a mixture: {:?}", seen.keys());
        }
    }

    /// What must hold once recovered, for ever.
    async fn check_settled(&self, world: &World, label: &str) {
        let expected = if self.committed(world).await { &self.after } else { &self.before };
        assert_eq!(&world.destination().await, expected, "{label}");
        assert_eq!(world.snapshot("out/.volley-staging").await, Snapshot::new(), "{label}");
        assert_eq!(world.snapshot("state/open").await, Snapshot::new(), "{label}");

        let all = world.snapshot("").await;
        assert!(world.recover(&world.sites()).await.unwrap().is_empty(), "{label}");
        assert_eq!(world.snapshot("").await, all, "{label}: a second recovery changed something");
    }

    async fn check(&self, fault: Fault, at: usize, then: Then) {
        let label = format!("{:?} {} call {at} {fault:?} {then:?}", self.kind, self.job.mode);
        let world = self.world().await;
        let (_, sites) = world.faulty(fault, at);
        let ended = self.run(&sites, then).await;
        self.check_moment(&world, &label).await;
        let decided = world.outcome(self.job.job).await;
        for recovered in world.recover(&world.sites()).await.unwrap() {
            let committed = matches!(decided, Some(Outcome::Committed { .. }));
            let as_decided = match recovered.side {
                Side::RolledForward(_) => committed,
                Side::Discarded => !committed,
                Side::Failed(_) => false,
            };
            assert!(as_decided, "{label}: {recovered:?} after {decided:?}");
        }
        self.check_settled(&world, &label).await;
        if ended.is_ok() {
            assert!(self.committed(&world).await, "{label}: success without a result");
        }
    }

    async fn run(&self, sites: &Sites, then: Then) -> Result<()> {
        let job = sites.begin(self.job.clone()).await?;
        let ended = carry_out(&job).await;
        match (&ended, then) {
            (Err(_), Then::Abort) => match job.abort("a call failed").await? {
                Outcome::Committed { .. } => job.publish().await.map(|_| ()),
                Outcome::Aborted { .. } => ended,
            },
            _ => ended,
        }
    }
}

fn files(seen: &Snapshot) -> Snapshot {
    seen.iter().filter(|(_, body)| body.is_some()).map(|(path, body)| (path.clone(), body.clone())).collect()
}

async fn carry_out(job: &Job) -> Result<()> {
    score_all(job, "day=2").await?;
    job.commit().await?;
    job.publish().await?;
    Ok(())
}

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
    check_every_call_of_recovery(true).await;
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_dies_while_discarding_is_finished_by_the_next() {
    check_every_call_of_recovery(false).await;
}

/// A job that died right before or after its decision, found by a recovery that dies at each call.
async fn check_every_call_of_recovery(decided: bool) {
    for (kind, mode) in KINDS.into_iter().flat_map(|kind| MODES.map(|mode| (kind, mode))) {
        let story = Story::new(kind, mode).await;
        let mut faults: Vec<_> = disturbances(kind).iter().map(|(fault, _)| *fault).collect();
        faults.dedup();
        for fault in faults {
            let mut at = 0;
            while died_in_recovery(&story, decided, fault, at).await {
                at += 1;
            }
            assert!(at > 8, "a recovery makes more than {at} calls");
        }
    }
}

/// Whether the recovery got as far as the call that was to fail.
async fn died_in_recovery(story: &Story, decided: bool, fault: Fault, at: usize) -> bool {
    let label = format!("{:?} {} recovery call {at} {fault:?}", story.kind, story.job.mode);
    let world = story.world().await;
    let job = world.sites().begin(story.job.clone()).await.unwrap();
    score_all(&job, "day=2").await.unwrap();
    if decided {
        job.commit().await.unwrap();
    }
    let (store, sites) = world.faulty(fault, at);
    let _ = world.recover(&sites).await;
    story.check_moment(&world, &label).await;
    world.recover(&world.sites()).await.unwrap();
    story.check_settled(&world, &label).await;
    assert_eq!(story.committed(&world).await, decided, "{label}");
    store.calls() > at
}

#[tokio::test]
async fn uploads_that_were_cut_off_are_removed_from_disk() {
    let world = World::new(Kind::Disk);
    let job = world.sites().begin(spec(Mode::Error)).await.unwrap();
    let path = job.attempt(0).staged_path();
    let store = &job.staging().store;
    let mut upload = store.put_multipart_opts(&path, Default::default()).await.unwrap();
    upload.put_part("half a file".into()).await.unwrap();
    std::mem::forget(upload); // as a killed process leaves it: `….staged#1`, which no store lists
    assert_eq!(world.snapshot("out/.volley-staging").await.len(), 2);

    let recovered = world.recover(&world.sites()).await.unwrap();
    assert!(matches!(recovered[..], [volley_commit::Recovered { side: Side::Discarded, .. }]));
    assert_eq!(world.snapshot("out").await, Snapshot::new());
}

#[tokio::test]
async fn records_that_were_cut_off_are_removed_from_disk() {
    let world = World::new(Kind::Disk);
    let (dead, alive) = (world.sites().begin(spec(Mode::Append)).await, world.sites().begin(spec(Mode::Append)).await);
    let (dead, alive) = (dead.unwrap(), alive.unwrap());
    score_all(&dead, "day=2").await.unwrap();
    dead.commit().await.unwrap();
    let whole = world.snapshot("").await;
    let of_dead = |path: &&String| whole[*path].is_some() && !path.contains(&alive.id().to_string());
    let records = whole.keys().filter(of_dead).filter(|path| path.starts_with("state/"));
    let kept = format!("state/open/{}#1", alive.id());
    for cut_off in records.map(|record| format!("{record}#1")).chain([kept.clone()]) {
        std::fs::write(world.path(&cut_off), "{").unwrap();
    }

    let known = world.sites();
    volley_commit::recover(&known.clone().state, dead.id(), &move |url| known.open(url)).await.unwrap();
    let left = world.snapshot("").await;
    let left: Vec<_> = left.keys().filter(|path| path.contains('#')).collect();
    assert_eq!(left, [&kept], "what another job is about to create is not touched");
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

#[tokio::test]
async fn a_job_whose_destination_cannot_be_opened_waits_for_the_next_recovery() {
    let world = World::new(Kind::Memory);
    let sites = world.sites();
    let job = sites.begin(spec(Mode::Error)).await.unwrap();
    score_all(&job, "day=2").await.unwrap();
    job.commit().await.unwrap();

    let refused = recover_all(&sites.state, &|_| Err("no credentials".into())).await;
    let [recovered] = &refused.unwrap()[..] else { panic!("one job was unfinished") };
    let Side::Failed(error) = &recovered.side else { panic!("{recovered:?}") };
    assert_eq!(error.code(), "location_unreachable");

    let recovered = world.recover(&sites).await.unwrap();
    assert!(matches!(recovered[0].side, Side::RolledForward(_)));
    assert!(world.destination().await.contains_key("_SUCCESS"));
}
