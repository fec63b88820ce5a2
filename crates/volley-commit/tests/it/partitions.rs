//! What replacing partitions keeps, and results without rows.

use volley_commit::{JobSpec, Mode, StagedFile};

use super::world::{KINDS, Kind, Snapshot, World, spec, stage, success, tally};

/// Publishes one split of files in folders, each with its number of rows.
async fn publish_rows(world: &World, mode: Mode, files: &[(&str, u64)]) {
    let spec = JobSpec { splits: 1, ..spec(mode) };
    let job = world.sites().begin(spec).await.unwrap();
    let attempt = job.attempt(0);
    let mut staged = vec![];
    for (partition, rows) in files {
        staged.push(StagedFile { rows: *rows, ..stage(&job, &attempt, partition, "rows").await.unwrap() });
    }
    attempt.seal(tally(&staged), staged).await.unwrap();
    job.commit().await.unwrap();
    job.publish().await.unwrap();
}

#[tokio::test]
async fn a_file_without_rows_stands_only_where_there_are_no_others() {
    let check = async |world: &World, folders: &[&str]| {
        let seen = world.destination().await;
        let parts = seen.keys().filter(|path| path.contains("part-"));
        let found: Vec<_> = parts.map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder)).collect();
        assert_eq!(found, folders);
        assert_eq!(success(&seen)["files"].as_array().unwrap().len(), folders.len());
        assert!(world.snapshot("out/.volley-staging").await.is_empty());
    };
    for kind in KINDS {
        let world = World::new(kind);
        publish_rows(&world, Mode::Error, &[("", 0), ("", 0)]).await;
        check(&world, &[""]).await;
        publish_rows(&world, Mode::Append, &[("", 0)]).await;
        check(&world, &[""]).await;
        publish_rows(&world, Mode::Append, &[("", 0), ("k=1", 3)]).await;
        check(&world, &["k=1"]).await;
        publish_rows(&world, Mode::Append, &[("", 0)]).await;
        check(&world, &["k=1"]).await;
        publish_rows(&world, Mode::Overwrite, &[("", 0)]).await;
        check(&world, &[""]).await;
    }
    let world = World::new(Kind::ANY);
    world.put("out/scores/k=1/theirs.parquet", "not ours").await;
    publish_rows(&world, Mode::Append, &[("", 0)]).await;
    check(&world, &[]).await;
}

/// The folders of the parts that lie there, one for each file.
fn folders(seen: &Snapshot) -> Vec<&str> {
    let parts = seen.keys().filter(|path| path.contains("part-"));
    parts.map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder)).collect()
}

#[tokio::test]
async fn only_the_partitions_that_rows_were_written_to_are_replaced() {
    for kind in KINDS {
        let world = World::new(kind);
        publish_rows(&world, Mode::Error, &[("k=1", 3), ("k=1", 2), ("k=2", 1), ("k=10", 1)]).await;
        world.put("out/scores/k=2/theirs.parquet", "not ours").await;
        let kept = world.destination().await;
        publish_rows(&world, Mode::OverwritePartitions, &[("k=1", 4), ("k=3", 1)]).await;

        let seen = world.destination().await;
        assert_eq!(folders(&seen), ["k=1", "k=10", "k=2", "k=3"]);
        for path in kept.keys().filter(|path| path.starts_with("k=10/") || path.starts_with("k=2/")) {
            assert_eq!(seen[path], kept[path], "{path}");
        }
        let rows: Vec<_> =
            success(&seen)["files"].as_array().unwrap().iter().map(|file| file["rows"].clone()).collect();
        assert_eq!(rows.iter().filter_map(|rows| rows.as_u64()).sum::<u64>(), 7, "{rows:?}");
    }
}

#[tokio::test]
async fn a_partition_with_a_foreign_file_is_not_replaced() {
    for kind in KINDS {
        let world = World::new(kind);
        publish_rows(&world, Mode::Error, &[("k=1", 3)]).await;
        world.put("out/scores/k=1/theirs.parquet", "not ours").await;
        let before = world.destination().await;
        let job = world.sites().begin(JobSpec { splits: 1, ..spec(Mode::OverwritePartitions) }).await.unwrap();
        let attempt = job.attempt(0);
        let files = vec![stage(&job, &attempt, "k=1", "rows").await.unwrap()];
        attempt.seal(tally(&files), files).await.unwrap();
        assert_eq!(job.commit().await.unwrap_err().code(), "foreign_files");
        job.abort("refused").await.unwrap();
        assert_eq!(world.destination().await, before);
    }
}

#[tokio::test]
async fn a_result_without_rows_replaces_no_partition() {
    let world = World::new(Kind::ANY);
    publish_rows(&world, Mode::Error, &[("k=1", 3)]).await;
    publish_rows(&world, Mode::OverwritePartitions, &[("", 0)]).await;
    assert_eq!(folders(&world.destination().await), ["k=1"]);
}

#[tokio::test]
async fn a_partition_takes_the_place_of_all_that_lies_below_it() {
    let world = World::new(Kind::ANY);
    publish_rows(&world, Mode::Error, &[("k=1/h=1", 1), ("k=1/h=2", 1), ("k=2/h=1", 1)]).await;
    publish_rows(&world, Mode::OverwritePartitions, &[("k=1", 1)]).await;
    assert_eq!(folders(&world.destination().await), ["k=1", "k=2/h=1"]);
}
