//! Where nothing can be published: told before anything runs, and again before the decision.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use volley_commit::{Mode, Outcome};

use super::world::{Kind, Snapshot, World, publish, score_all, spec};

/// Puts something where a destination would be.
type Make = fn(&Path);

fn a_file(path: &Path) {
    fs::write(path, "not ours").unwrap();
}

fn a_link_that_leads_nowhere(path: &Path) {
    symlink("nowhere", path).unwrap();
}

/// `/dev` is a file system of its own on every Unix, and never one that holds temporary folders.
fn a_link_to_another_file_system(path: &Path) {
    symlink("/dev", path).unwrap();
}

#[tokio::test]
async fn a_destination_that_cannot_be_published_to_is_refused_before_anything_runs() {
    let cases: [(Make, &str); 3] = [
        (a_file, "scores is a file"),
        (a_link_that_leads_nowhere, "scores is a link that leads nowhere"),
        (a_link_to_another_file_system, "is on another file system or mount than"),
    ];
    for (make, reason) in cases {
        let world = World::new(Kind::Disk);
        fs::create_dir(world.path("out")).unwrap();
        make(&world.path("out/scores"));
        let error = world.sites().begin(spec(Mode::Append)).await.unwrap_err();
        assert_eq!(error.code(), "destination_invalid");
        assert!(!error.is_transient());
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(world.snapshot("state").await, Snapshot::new(), "nothing is recorded");
    }
}

#[tokio::test]
async fn what_gets_into_the_way_while_a_job_runs_is_refused_before_the_decision() {
    let cases: [(Make, &str); 4] = [
        (a_file, "scores"),
        (a_link_that_leads_nowhere, "scores"),
        (a_file, "scores/day=2"),
        (a_link_that_leads_nowhere, "scores/day=2"),
    ];
    for (make, place) in cases {
        let world = World::new(Kind::Disk);
        let job = world.sites().begin(spec(Mode::Append)).await.unwrap();
        score_all(&job, "day=2").await.unwrap();
        let place = world.path("out").join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        make(&place);

        let error = job.commit().await.unwrap_err();
        assert_eq!(error.code(), "destination_invalid", "{}", place.display());
        assert!(error.to_string().contains(place.to_str().unwrap()), "{error}");
        assert!(matches!(job.abort("refused").await.unwrap(), Outcome::Aborted { .. }));
        assert!(!world.path("out/.volley-staging").exists(), "nothing is left, the turn neither");
    }
}

#[tokio::test]
async fn a_folder_that_may_not_be_written_is_refused_with_what_the_system_says() {
    let closed = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // The destination, a folder of a partition, and the one where staging would be made.
    for place in ["out/scores", "out/scores/day=2", "out"] {
        let world = World::new(Kind::Disk);
        fs::create_dir_all(world.path("out/scores/day=2")).unwrap();
        let place = world.path(place);
        closed(&place, 0o555);
        // Permissions do not hold back everybody: to root, all is open.
        let is_open = fs::File::create(place.join("probe")).is_ok();
        let published = match world.sites().begin(spec(Mode::Append)).await {
            Ok(job) => match score_all(&job, "day=2").await {
                Ok(()) => job.commit().await.map(|_| ()),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        closed(&place, 0o755);
        match published {
            Ok(()) => assert!(is_open),
            Err(error) => {
                assert!(!is_open, "{error}");
                assert_eq!(error.code(), "destination_invalid");
                assert!(error.to_string().contains("Permission denied"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_publish_that_cannot_make_its_folders_leaves_the_old_result_whole() {
    let world = World::new(Kind::Disk);
    publish(&world.sites(), spec(Mode::Error), "day=1").await.unwrap();
    let job = world.sites().begin(spec(Mode::Overwrite)).await.unwrap();
    score_all(&job, "day=2").await.unwrap();
    job.commit().await.unwrap();
    a_file(&world.path("out/scores/day=2"));
    let before = world.destination().await;

    let error = job.publish().await.unwrap_err();
    assert_eq!(error.code(), "store_failed");
    assert!(error.to_string().contains("out/scores: "), "{error}");
    assert!(error.to_string().contains("(os error"), "{error}");
    assert_eq!(world.destination().await, before, "readers of the old result see nothing of it");

    fs::remove_file(world.path("out/scores/day=2")).unwrap();
    job.publish().await.unwrap();
    let seen = world.destination().await;
    assert!(seen.contains_key("_SUCCESS") && seen.keys().all(|path| !path.starts_with("day=1")), "{:?}", seen.keys());
}
