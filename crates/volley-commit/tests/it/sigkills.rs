//! A process that is killed at any call of the store: whoever goes on with its job ends in the same bytes.
//!
//! The test is its own child: started with an order in the environment it carries that out and dies.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use volley_commit::{Job, JobSpec, Mode};

use super::crashes::Story;
use super::stores::{Kind, on_disk};
use super::world::{Fault, MODES, Snapshot, World, publish, score_all};

const ORDER: &str = "KILLED_CHILD_ORDER";
const NAME: &str = "sigkills::a_job_that_is_killed_at_any_call_ends_in_the_same_bytes";
const SIGKILL: i32 = 9;

#[tokio::test]
async fn a_job_that_is_killed_at_any_call_ends_in_the_same_bytes() {
    if let Ok(order) = std::env::var(ORDER) {
        return child(&serde_json::from_str(&order).unwrap()).await;
    }
    let mut kills = vec![];
    for mode in MODES {
        let story = Story::new(Kind::Disk, mode).await;
        // Every call of one mode, every third of the others, whose calls are mostly the same.
        let step = if mode == Mode::Overwrite { 1 } else { 3 };
        let places: Vec<usize> = (0..story.calls).step_by(step).collect();
        for at in &places {
            check(&story, *at).await;
        }
        kills.push(format!("{mode}: {} of {} calls", places.len(), story.calls));
    }
    eprintln!("\nnote: killed before {}", kills.join(", "));
}

async fn check(story: &Story, at: usize) {
    let label = format!("{} killed before call {at}", story.job.mode);
    let world = story.world().await;
    let order = json!({ "folder": world.path(""), "job": story.job, "at": at });
    let mut child = Command::new(std::env::current_exe().unwrap());
    let ended = child.args(["--exact", NAME]).env(ORDER, order.to_string()).output().unwrap();
    assert_eq!(ended.status.signal(), Some(SIGKILL), "{label}: {}", String::from_utf8_lossy(&ended.stderr));
    story.check_moment(&world, &label).await;
    go_on(&world, &story.job).await;
    assert_eq!(world.destination().await, story.after, "{label}");
    assert_eq!(world.snapshot("out/.volley-staging").await, Snapshot::new(), "{label}");
}

/// Runs a job whose store kills the process.
async fn child(order: &Value) {
    let folder: PathBuf = serde_json::from_value(order["folder"].clone()).unwrap();
    let job: JobSpec = serde_json::from_value(order["job"].clone()).unwrap();
    let at = order["at"].as_u64().unwrap() as usize;
    let (_, sites) = World::on(on_disk(&folder)).faulty(Fault::Killed, at);
    publish(&sites, job, "day=2").await.unwrap();
}

/// What the next process does that is asked for the same job: what has a receipt is not scored again.
async fn go_on(world: &World, spec: &JobSpec) {
    let sites = world.sites();
    let known = sites.clone();
    let job = match Job::open(&sites.state, spec.job, &move |url| known.open(url)).await {
        Err(error) if error.code() == "unknown_job" => sites.begin(spec.clone()).await.unwrap(),
        job => job.unwrap(),
    };
    if job.outcome().await.unwrap().is_none() {
        score_all(&job, "day=2").await.unwrap();
    }
    job.commit().await.unwrap();
    job.publish().await.unwrap();
}
