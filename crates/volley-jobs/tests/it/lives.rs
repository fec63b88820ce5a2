//! A run from its acceptance to its end, in one process.

use volley_jobs::State;

use crate::memory::{Ground, asked, code, submit, told, wait_for, wait_for_note};

#[tokio::test]
async fn what_happens_to_a_run_is_told_in_order() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    for (does, expected) in [
        ("publishes", &["accepted", "running", "published", "succeeded"][..]),
        ("fails", &["accepted", "running", "failed"]),
        ("panics", &["accepted", "running", "failed"]),
    ] {
        let id = submit(&jobs, does, does).await;
        assert_eq!(told(&jobs, &id, 0).await, expected, "{does}");
    }
    let all = jobs.newest(10).unwrap();
    assert_eq!(all.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["publishes", "fails", "panics"]);
    assert_eq!(all[1].problems[0].code, "score_failed");
    assert_eq!(all[2].problems[0].code, "panicked");
}

#[tokio::test]
async fn who_comes_back_gets_what_came_after_and_no_more() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let id = submit(&jobs, "a", "publishes").await;
    let mut follower = jobs.follow(&id, 0).unwrap();
    let second = [follower.next().await.unwrap(), follower.next().await.unwrap()][1].number.unwrap();
    assert_eq!(told(&jobs, &id, second).await, ["published", "succeeded"]);
    assert_eq!(told(&jobs, &id, 1000).await, [""; 0]);
}

#[tokio::test]
async fn a_key_stands_for_one_request_and_one_run() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let submissions = (0..64).map(|_| {
        let jobs = jobs.clone();
        tokio::spawn(async move { jobs.submit(asked("a", Some("k"), "publishes")).await.unwrap() })
    });
    let mut new = 0;
    for submitted in submissions.collect::<Vec<_>>() {
        let submitted = submitted.await.unwrap();
        assert_eq!(submitted.job.id, "run-1");
        new += u32::from(submitted.is_new);
    }
    assert_eq!(new, 1);
    assert_eq!(jobs.newest(100).unwrap().len(), 1);
    let other = jobs.submit(asked("a", Some("k"), "fails")).await.map(|_| ()).map_err(code);
    assert_eq!(other, Err("key_reused".to_owned()));
}

#[tokio::test]
async fn runs_wait_for_room_and_begin_in_the_order_in_which_they_came() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let first = submit(&jobs, "first", "waits").await;
    wait_for_note(&jobs, &first).await;
    let others = [submit(&jobs, "second", "publishes").await, submit(&jobs, "third", "publishes").await];
    assert_eq!(jobs.waiting_and_running().unwrap(), (2, 1));
    ground.memory.released.add_permits(1);
    for id in &others {
        wait_for(&jobs, id, State::Succeeded).await;
    }
    assert_eq!(ground.memory.begun(), ["first", "second", "third"]);
}

#[tokio::test]
async fn a_canceled_run_stops_whether_it_has_begun_or_not() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let (running, waiting) = (submit(&jobs, "a", "waits").await, submit(&jobs, "b", "publishes").await);
    wait_for_note(&jobs, &running).await;
    assert_eq!(jobs.cancel(&waiting).await.unwrap().state, State::Canceled);
    assert_eq!(jobs.cancel(&running).await.unwrap().state, State::Canceling);
    wait_for(&jobs, &running, State::Canceled).await;
    assert_eq!(ground.memory.begun(), ["a"]);
    assert_eq!(ground.memory.published(&running), None);
    assert_eq!(jobs.cancel("nobody").await.map(|_| ()).map_err(code), Err("unknown_job".to_owned()));
}

#[tokio::test]
async fn what_is_decided_when_a_cancel_comes_has_succeeded() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let id = submit(&jobs, "a", "decides").await;
    wait_for(&jobs, &id, State::Running).await;
    while ground.memory.published(&id).is_none() {
        tokio::task::yield_now().await;
    }
    jobs.cancel(&id).await.unwrap();
    wait_for(&jobs, &id, State::Succeeded).await;
    assert_eq!(jobs.job(&id).unwrap().results, [ground.memory.published(&id).unwrap()]);
    assert_eq!(jobs.cancel(&id).await.map(|_| ()).map_err(code), Err("job_over".to_owned()));
}

#[tokio::test]
async fn a_run_that_failed_or_was_canceled_is_gone_on_with_when_somebody_asks() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let id = submit(&jobs, "a", "waits").await;
    wait_for_note(&jobs, &id).await;
    assert_eq!(jobs.resume(&id).await.map(|_| ()).map_err(code), Err("job_running".to_owned()));
    jobs.cancel(&id).await.unwrap();
    wait_for(&jobs, &id, State::Canceled).await;
    jobs.resume(&id).await.unwrap();
    ground.memory.released.add_permits(1);
    wait_for(&jobs, &id, State::Succeeded).await;
    assert_eq!(jobs.resume(&id).await.map(|_| ()).map_err(code), Err("job_over".to_owned()));
}

#[tokio::test]
async fn a_run_is_found_by_the_jobs_that_it_published_too() {
    let ground = Ground::new();
    let jobs = ground.open().await;
    let id = submit(&jobs, "a", "publishes").await;
    wait_for(&jobs, &id, State::Succeeded).await;
    let part = jobs.job(&id).unwrap().results[0]["job"].as_str().unwrap().to_owned();
    assert_eq!(jobs.job(&part).unwrap().id, id);
}
