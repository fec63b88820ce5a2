//! Jobs that are long over are forgotten by age, and what they published is not.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::process::{succeed, volley};
use crate::resume::{cut_off, files, folder, id, jobs};

const DAY: Duration = Duration::from_secs(86_400);

/// Makes every record below a folder look as if it was written so many days ago.
fn age(folder: &Path, days: u32) {
    for path in files(folder).into_keys() {
        File::options()
            .write(true)
            .open(folder.join(path))
            .unwrap()
            .set_modified(SystemTime::now() - DAY * days)
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_forgotten_by_age_and_its_files_are_still_verified_and_replaced() {
    let folder = folder().await;
    let folder = folder.path();
    let score = std::fs::read_to_string(folder.join("job.sql")).unwrap().replace("'out/'", "'old/'");
    std::fs::write(folder.join("old.sql"), &score).unwrap();
    succeed(folder, &["run", "old.sql", "--key", "daily"]);
    let old = jobs(folder).pop().unwrap();
    let published = files(&folder.join("old"));
    age(&folder.join(".volley/state"), 40);
    let cut_off = cut_off(folder, &["run", "job.sql"], 5);
    age(&cut_off, 3);

    let told = succeed(folder, &["jobs", "expire", "--older-than", "41d"]);
    assert_eq!(told, "no job is over for so long\n");
    let told = succeed(folder, &["jobs", "expire", "--older-than", "2d"]);
    assert_eq!(told, format!("job {} is forgotten\n", id(&old)), "what waits to be gone on with is not over");

    assert_eq!(files(&folder.join("old")), published);
    let listed = succeed(folder, &["jobs", "list"]);
    assert!(!listed.contains(&id(&old)) && listed.contains(&id(&cut_off)), "{listed}");
    volley(folder, &["jobs", "show", &id(&old)]).has_error(1, "[unknown_job]");
    succeed(folder, &["jobs", "verify", &id(&old)]);
    succeed(folder, &["jobs", "resume", &id(&cut_off)]);

    // The key is free, and what lies there is known to be ours though the marker that lists it is gone.
    std::fs::remove_file(folder.join("old/_SUCCESS")).unwrap();
    std::fs::write(folder.join("old.sql"), score + " OPTIONS (mode 'overwrite')").unwrap();
    succeed(folder, &["run", "old.sql", "--key", "daily"]);
    let replaced = files(&folder.join("old"));
    assert_eq!(replaced.len(), published.len());
    assert!(replaced.keys().all(|file| file.ends_with("_SUCCESS") || !published.contains_key(file)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_did_is_forgotten_with_its_whole_run_or_not_at_all() {
    let folder = folder().await;
    let folder = folder.path();
    let score = std::fs::read_to_string(folder.join("job.sql")).unwrap();
    let twice = format!("{score};\n{}", score.replace("'out/'", "'out2/'"));
    std::fs::write(folder.join("twice.sql"), twice).unwrap();
    succeed(folder, &["run", "twice.sql", "--key", "daily"]);
    let both = jobs(folder);
    assert_eq!(both.len(), 2);
    age(&both[0], 40);
    assert_eq!(succeed(folder, &["jobs", "expire", "--older-than", "30d"]), "no job is over for so long\n");
    succeed(folder, &["run", "twice.sql", "--key", "daily"]);
    assert_eq!(jobs(folder), both, "nothing is scored again");

    age(&both[1], 31);
    let told = succeed(folder, &["jobs", "expire", "--older-than", "30d"]);
    assert_eq!(told.lines().count(), 2, "{told}");
    volley(folder, &["jobs", "expire", "--older-than", "1"]).has_error(2, "[usage]");
}
