//! What a process that was cut off leaves on a disk, where a store does not show it.

use volley_commit::{Mode, Side};

use super::races::of_another_state;
use super::stores::Kind;
use super::world::{Snapshot, World, score_all, spec};

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

#[tokio::test]
async fn a_dead_job_keeps_its_turn_until_its_own_state_has_finished_it() {
    for decided in [true, false] {
        let world = World::new(Kind::Disk);
        let dead = world.sites().begin(spec(Mode::Append)).await.unwrap();
        score_all(&dead, "day=1").await.unwrap();
        if decided {
            dead.commit().await.unwrap();
        } else {
            // What is there at the decision makes it fail, after the turn was taken.
            world.put("out/scores/day=1", "a file where a folder is needed").await;
            assert_eq!(dead.commit().await.unwrap_err().code(), "destination_invalid");
        }
        let waiting = of_another_state(&world).begin(spec(Mode::Append)).await.unwrap();
        score_all(&waiting, "day=2").await.unwrap();
        assert_eq!(waiting.commit().await.unwrap_err().code(), "destination_busy");

        assert_eq!(world.recover(&world.sites()).await.unwrap().len(), 1);
        waiting.commit().await.unwrap();
        waiting.publish().await.unwrap();
        assert!(world.snapshot("out/.volley-staging").await.is_empty());
    }
}
