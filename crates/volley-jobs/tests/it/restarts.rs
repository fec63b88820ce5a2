//! What is left of runs when their process ends, and what the next one makes of it.

use std::fs;
use std::sync::Arc;

use volley_commit::{Before, Owner};
use volley_jobs::State;

use crate::memory::{Ground, asked, code, submit, told, wait_for, wait_for_note};

/// Ends a process as a kill does: the runs under way see nothing of it.
fn kill(jobs: volley_jobs::Jobs, runtime: tokio::runtime::Runtime) {
    drop(jobs);
    runtime.shutdown_background();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn runs_of_a_killed_process_go_on_in_the_next_one() {
    let ground = Ground::new();
    let first = runtime();
    let (jobs, ids) = first.block_on(async {
        let jobs = ground.open().await;
        let ids = [submit(&jobs, "a", "waits").await, submit(&jobs, "b", "publishes").await];
        wait_for_note(&jobs, &ids[0]).await;
        (jobs, ids)
    });
    kill(jobs, first);
    assert_eq!(runtime().block_on(ground.unfinished()), ids.iter().cloned().collect());
    runtime().block_on(async {
        let jobs = ground.open().await;
        ground.memory.released.add_permits(1);
        for id in &ids {
            wait_for(&jobs, id, State::Succeeded).await;
        }
        assert_eq!(ground.memory.begun(), ["a", "a", "b"]);
        assert!(ground.unfinished().await.is_empty());
    });
}

#[test]
fn a_cancel_outlives_the_process_that_was_asked() {
    let ground = Ground::new();
    for does in ["waits", "decides"] {
        let first = runtime();
        let (jobs, id) = first.block_on(async {
            let jobs = ground.open().await;
            let id = submit(&jobs, does, does).await;
            wait_for(&jobs, &id, State::Running).await;
            while does == "decides" && ground.memory.published(&id).is_none() {
                tokio::task::yield_now().await;
            }
            jobs.cancel(&id).await.unwrap();
            (jobs, id)
        });
        kill(jobs, first);
        let expected = if does == "waits" { State::Canceled } else { State::Succeeded };
        runtime().block_on(async { wait_for(&ground.open().await, &id, expected).await });
    }
}

#[tokio::test]
async fn runs_of_a_process_that_stops_in_order_go_on_in_the_next_one() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let ids = [submit(&jobs, "a", "waits").await, submit(&jobs, "b", "publishes").await];
    wait_for_note(&jobs, &ids[0]).await;
    jobs.stop().await;
    assert_eq!(told(&jobs, &ids[0], 0).await, ["accepted", "running", "note", "accepted"]);
    let refused = jobs.submit(asked("c", None, "publishes")).await.map(|_| ()).map_err(code);
    assert_eq!(refused, Err("server_stopping".to_owned()));
    drop(jobs);
    let jobs = ground.open().await;
    ground.memory.released.add_permits(1);
    for id in &ids {
        wait_for(&jobs, id, State::Succeeded).await;
    }
}

#[tokio::test]
async fn an_index_that_is_lost_is_made_again_from_the_records() {
    for loss in ["removed", "broken"] {
        let ground = Ground::new();
        let jobs = ground.open().await;
        let done = submit(&jobs, "done", "publishes").await;
        let failed = submit(&jobs, "failed", "fails").await;
        let keyed = jobs.submit(asked("keyed", Some("k"), "waits")).await.unwrap().job.id;
        wait_for(&jobs, &failed, State::Failed).await;
        wait_for_note(&jobs, &keyed).await;
        let before = (jobs.job(&done).unwrap(), jobs.job(&failed).unwrap());
        jobs.stop().await;
        drop(jobs);
        let index = ground.folder.path().join("index.sqlite");
        match loss {
            "removed" => fs::remove_file(&index).unwrap(),
            _ => fs::write(&index, "this is no database, and longer than the head of one is ".repeat(20)).unwrap(),
        }
        let jobs = ground.open().await;
        let kept =
            |job: &volley_jobs::Job| (job.state, job.results.clone(), job.problems.clone(), job.ended_at.clone());
        assert_eq!(kept(&jobs.job(&done).unwrap()), kept(&before.0), "{loss}");
        assert_eq!(kept(&jobs.job(&failed).unwrap()), kept(&before.1), "{loss}");
        let again = jobs.submit(asked("keyed", Some("k"), "waits")).await.unwrap();
        assert_eq!((again.job.id.as_str(), again.is_new), (keyed.as_str(), false), "{loss}");
        ground.memory.released.add_permits(1);
        wait_for(&jobs, &keyed, State::Succeeded).await;
        assert_eq!(
            ground.memory.begun(),
            ["done", "failed", "keyed", "keyed"],
            "{loss}: what is over is not run again"
        );
    }
}

#[tokio::test]
async fn a_request_that_was_recorded_and_not_indexed_is_accepted() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let id = submit(&jobs, "a", "publishes").await;
    wait_for(&jobs, &id, State::Succeeded).await;
    drop(jobs);
    // As a kill between the two leaves it.
    let folder = ground.folder.path().join("server/requests");
    fs::copy(folder.join(format!("{id}.json")), folder.join("run-9.json")).unwrap();
    let jobs = ground.open().await;
    wait_for(&jobs, "run-9", State::Succeeded).await;
}

#[tokio::test]
async fn a_run_that_its_process_never_survives_is_not_begun_for_ever() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let id = submit(&jobs, "a", "waits").await;
    wait_for_note(&jobs, &id).await;
    jobs.stop().await;
    drop(jobs);
    // What the index holds when the process has died that often.
    let died = |times: u32| {
        let index = rusqlite::Connection::open(ground.folder.path().join("index.sqlite")).unwrap();
        index.execute("UPDATE jobs SET state = 'running', begun = ?1", [times]).unwrap();
    };
    died(5);
    let jobs = ground.open().await;
    let failed = jobs.job(&id).unwrap();
    assert_eq!((failed.state, failed.problems[0].code.as_str()), (State::Failed, "server_died"));
    ground.memory.released.add_permits(1);
    jobs.resume(&id).await.unwrap();
    wait_for(&jobs, &id, State::Succeeded).await;
}

#[tokio::test]
async fn a_folder_has_one_process_at_a_time() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    assert_eq!(ground.try_open().await.map(|_| ()).map_err(code), Err("state_in_use".to_owned()));
    jobs.stop().await;
    drop(jobs);
    assert!(ground.try_open().await.is_ok());
}

/// Takes the state over, as a server on another machine does, without a look at the one before.
async fn owner(ground: &Ground) -> Arc<Owner> {
    Arc::new(Owner::take_over(&ground.state(), "a server", Before::Unknown).await.unwrap())
}

#[tokio::test]
async fn who_was_replaced_accepts_and_ends_nothing_more() {
    let ground = Ground::new();
    let first = ground.open_over(ground.facts(Some(owner(&ground).await))).await;
    let id = submit(&first, "a", "waits").await;
    wait_for_note(&first, &id).await;
    let second = Ground { folder: tempfile::tempdir().unwrap(), memory: ground.memory.clone() };
    let second = second.open_over(ground.facts(Some(owner(&ground).await))).await;
    wait_for_note(&second, &id).await;

    let refused = first.submit(asked("b", None, "publishes")).await.unwrap_err();
    assert!(refused.is_transient(), "the client finds the other one");
    assert_eq!(code(refused), "owner_replaced");
    assert_eq!(first.cancel(&id).await.map(|_| ()).map_err(code), Err("owner_replaced".to_owned()));
    // Both go on to their end: it is that of the second that counts.
    ground.memory.released.add_permits(2);
    wait_for(&second, &id, State::Succeeded).await;
    assert_eq!(first.job(&id).unwrap().state, State::Running);
    let ends: Vec<_> = fs::read_dir(ground.folder.path().join("server/ends")).unwrap().collect();
    assert_eq!(ends.len(), 1, "the first has written none: {ends:?}");
}

#[tokio::test]
async fn of_two_ends_the_later_owner_s_counts() {
    let ground = Ground::new();
    let jobs = ground.open_over(ground.facts(Some(owner(&ground).await))).await;
    let id = submit(&jobs, "a", "publishes").await;
    wait_for(&jobs, &id, State::Succeeded).await;
    drop(jobs);
    // What a slow owner before that one may have sent, and what one after it may.
    let ends = ground.folder.path().join("server/ends");
    let end = |epoch: u64, state: &str| {
        let text = fs::read_to_string(ends.join(format!("{id}.0.1.json"))).unwrap();
        fs::write(ends.join(format!("{id}.0.{epoch}.json")), text.replace("succeeded", state)).unwrap();
    };
    for (epoch, state, expected) in [(0, "canceled", State::Succeeded), (12, "failed", State::Failed)] {
        end(epoch, state);
        fs::remove_file(ground.folder.path().join("index.sqlite")).unwrap();
        let jobs = ground.open().await;
        assert_eq!(jobs.job(&id).unwrap().state, expected, "{epoch}");
    }
}

#[tokio::test]
async fn each_resume_begins_a_round_and_takes_nothing_away() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let id = submit(&jobs, "a", "waits").await;
    for round in 0..3 {
        wait_for_note(&jobs, &id).await;
        while jobs.job(&id).unwrap().state != State::Running {
            tokio::task::yield_now().await;
        }
        jobs.cancel(&id).await.unwrap();
        while !jobs.job(&id).unwrap().state.is_over() {
            tokio::task::yield_now().await;
        }
        assert_eq!(jobs.job(&id).unwrap().state, State::Canceled, "round {round}");
        jobs.resume(&id).await.unwrap();
    }
    jobs.stop().await;
    drop(jobs);
    let count = |kind: &str| fs::read_dir(ground.folder.path().join("server").join(kind)).unwrap().count();
    assert_eq!((count("cancels"), count("ends"), count("resumes")), (3, 3, 3));
    fs::remove_file(ground.folder.path().join("index.sqlite")).unwrap();
    let jobs = ground.open().await;
    ground.memory.released.add_permits(1);
    wait_for(&jobs, &id, State::Succeeded).await;
}

#[tokio::test]
async fn an_index_of_another_state_tells_nothing_of_it() {
    let (ground, other) = (Ground::new(), Ground::new());
    let jobs = ground.open().await;
    let id = submit(&jobs, "a", "publishes").await;
    wait_for(&jobs, &id, State::Succeeded).await;
    drop(jobs);
    fs::copy(ground.folder.path().join("index.sqlite"), other.folder.path().join("index.sqlite")).unwrap();
    let jobs = other.open().await;
    assert_eq!(jobs.job(&id).map(|_| ()).map_err(code), Err("unknown_job".to_owned()));
    assert!(jobs.newest(10).unwrap().is_empty());
}
