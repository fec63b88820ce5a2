//! Whatever call fails, and however: the destination is as before, or exactly the new state.

use volley_commit::{Job, JobSpec, Mode, Outcome, Result, Side};

use super::world::{Fault, Kind, MODES, Sites, Snapshot, World, publish, recover_all, score_all, spec};

/// What a process does when a call failed and it is still alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
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

    pub async fn check(&self, fault: Fault, at: usize, then: Then) {
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

/// A job that died right before or after its decision, found by a recovery that dies at each call; or at one of `step`
/// calls, if that is more than 1.
pub async fn check_calls_of_recovery(kind: Kind, decided: bool, faults: &[Fault], step: usize) {
    for mode in MODES {
        let story = Story::new(kind, mode).await;
        for fault in faults {
            let mut at = 0;
            while died_in_recovery(&story, decided, *fault, at).await {
                at += step;
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
async fn a_job_whose_destination_cannot_be_opened_waits_for_the_next_recovery() {
    let world = World::new(Kind::ANY);
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
