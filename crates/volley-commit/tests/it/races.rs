//! Two hands at one thing: exactly one wins, and both see who.

use volley_commit::{Mode, Outcome};

use super::world::{KINDS, Kind, Sites, Snapshot, World, publish, recover_all, score_all, spec, stage, tally};

const ROUNDS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_attempts_at_a_split_leave_one_receipt() {
    for kind in KINDS {
        let world = World::new(kind);
        let job = world.sites().begin(spec(Mode::Error)).await.unwrap();
        let attempts: Vec<_> = (0..8)
            .map(|n| {
                let job = job.clone();
                tokio::spawn(async move {
                    let attempt = job.attempt(1);
                    let files = vec![stage(&job, &attempt, "", &format!("{n}")).await.unwrap()];
                    attempt.seal(tally(&files), files).await.unwrap()
                })
            })
            .collect();
        let mut sealed = vec![];
        for attempt in attempts {
            sealed.push(attempt.await.unwrap());
        }
        let stands = job.receipt(1).await.unwrap().unwrap();
        assert!(sealed.iter().all(|receipt| *receipt == stands));

        let staged = world.snapshot("out/.volley-staging").await;
        let files: Vec<_> = staged.iter().filter(|(_, body)| body.is_some()).collect();
        assert_eq!(files.len(), 1, "the losers took theirs away: {files:?}");
        assert!(files[0].0.contains(&stands.attempt));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_and_an_abort_agree_on_one_outcome() {
    for round in 0..ROUNDS {
        let world = World::new(KINDS[round % KINDS.len()]);
        let new = spec(Mode::Error);
        let job = world.sites().begin(new.clone()).await.unwrap();
        score_all(&job, "day=2").await.unwrap();
        let (a, b) = (job.clone(), job.clone());
        let committing = tokio::spawn(async move { a.commit().await });
        let aborting = tokio::spawn(async move { b.abort("cancelled").await });
        let (committed, aborted) = (committing.await.unwrap(), aborting.await.unwrap().unwrap());

        match &aborted {
            Outcome::Committed { .. } => {
                assert_eq!(committed.unwrap(), aborted);
                job.publish().await.unwrap();
                assert!(world.destination().await.contains_key("_SUCCESS"));
            }
            Outcome::Aborted { .. } => {
                assert_eq!(committed.unwrap(), aborted);
                assert_eq!(job.publish().await.unwrap_err().code(), "job_misused");
                assert_eq!(world.destination().await, Snapshot::new());
            }
        }
        assert_eq!(world.outcome(new.job).await, Some(aborted));
        assert_eq!(world.snapshot("out/.volley-staging").await, Snapshot::new());
    }
}

#[tokio::test]
async fn a_job_waits_while_another_one_publishes_to_its_destination() {
    let world = World::new(Kind::ANY);
    let first = world.sites().begin(spec(Mode::Append)).await.unwrap();
    let second = world.sites().begin(spec(Mode::Append)).await.unwrap();
    score_all(&first, "day=1").await.unwrap();
    score_all(&second, "day=2").await.unwrap();
    first.commit().await.unwrap();

    let busy = second.commit().await.unwrap_err();
    assert_eq!(busy.code(), "destination_busy");
    assert!(busy.is_transient());

    first.publish().await.unwrap();
    second.commit().await.unwrap();
    second.publish().await.unwrap();
    assert_eq!(world.destination().await.len(), 9);
}

#[tokio::test]
async fn two_new_results_for_one_destination_are_one_result_and_one_refusal() {
    let world = World::new(Kind::ANY);
    let late = world.sites().begin(spec(Mode::Error)).await.unwrap();
    publish(&world.sites(), spec(Mode::Error), "day=1").await.unwrap();
    score_all(&late, "day=2").await.unwrap();
    assert_eq!(late.commit().await.unwrap_err().code(), "destination_not_empty");
}

/// The same destination, for whoever works with a state of their own.
pub fn of_another_state(world: &World) -> Sites {
    Sites { state: world.at("another-state"), ..world.sites() }
}

#[tokio::test]
async fn two_states_take_turns_at_one_destination() {
    for (kind, mode) in KINDS.into_iter().flat_map(|kind| [Mode::Append, Mode::Overwrite].map(|mode| (kind, mode))) {
        let world = World::new(kind);
        let first = world.sites().begin(spec(mode)).await.unwrap();
        let second = of_another_state(&world).begin(spec(mode)).await.unwrap();
        score_all(&first, "day=1").await.unwrap();
        score_all(&second, "day=2").await.unwrap();
        first.commit().await.unwrap();

        let busy = second.commit().await.unwrap_err();
        assert_eq!(busy.code(), "destination_busy");
        let told = busy.to_string();
        assert!(told.contains(&format!("{}/", world.sites().state.url)) && told.contains(".turn)"), "{told}");

        first.publish().await.unwrap();
        second.commit().await.unwrap();
        second.publish().await.unwrap();
        let parts = world.destination().await.keys().filter(|path| path.contains("part-")).count();
        assert_eq!(parts, if mode == Mode::Append { 8 } else { 4 });
        assert!(world.snapshot("out/.volley-staging").await.is_empty());
    }
}

#[tokio::test]
async fn results_for_folders_of_one_name_in_one_bucket_do_not_wait_for_each_other() {
    let world = World::new(Kind::ANY);
    let beside = Sites { destination: world.at("beside/scores"), ..world.sites() };
    let first = world.sites().begin(spec(Mode::Append)).await.unwrap();
    let second = beside.begin(spec(Mode::Append)).await.unwrap();
    score_all(&first, "day=1").await.unwrap();
    score_all(&second, "day=1").await.unwrap();
    first.commit().await.unwrap();
    second.commit().await.unwrap();
    second.publish().await.unwrap();
    first.publish().await.unwrap();
    assert_eq!(world.destination().await.len(), world.snapshot("beside/scores").await.len());
}

#[tokio::test]
async fn a_publish_whose_turn_was_taken_away_waits_until_it_is_free_again() {
    let world = World::new(Kind::ANY);
    let first = world.sites().begin(spec(Mode::Append)).await.unwrap();
    let second = of_another_state(&world).begin(spec(Mode::Append)).await.unwrap();
    score_all(&first, "day=1").await.unwrap();
    score_all(&second, "day=2").await.unwrap();
    first.commit().await.unwrap();
    let staged = world.snapshot("out/.volley-staging").await;
    let turn = staged.keys().find(|name| name.ends_with(".turn")).unwrap();
    world.remove(&format!("out/.volley-staging/{turn}")).await;
    second.commit().await.unwrap();

    assert_eq!(first.publish().await.unwrap_err().code(), "destination_busy");
    assert_eq!(world.destination().await, Snapshot::new());
    second.publish().await.unwrap();
    first.publish().await.unwrap();
}

#[tokio::test]
async fn repeating_a_finished_job_changes_nothing() {
    let world = World::new(Kind::ANY);
    let job = world.sites().begin(spec(Mode::Error)).await.unwrap();
    score_all(&job, "day=1").await.unwrap();
    let outcome = job.commit().await.unwrap();
    let published = job.publish().await.unwrap();
    let all = world.snapshot("").await;

    assert_eq!(job.commit().await.unwrap(), outcome);
    assert_eq!(job.abort("too late").await.unwrap(), outcome);
    assert_eq!(job.publish().await.unwrap(), published);
    assert_eq!(world.snapshot("").await, all);
}

/// Engines spawn these; a future that is not `Send` would show only in their crates.
#[tokio::test]
async fn whole_jobs_and_recoveries_can_be_spawned() {
    let world = World::new(Kind::ANY);
    let sites = world.sites();
    let job = tokio::spawn(async move { publish(&sites, spec(Mode::Error), "day=1").await });
    job.await.unwrap().unwrap();
    let sites = world.sites();
    let recovery = tokio::spawn(async move {
        let known = sites.clone();
        recover_all(&sites.state, &move |url| known.open(url)).await
    });
    assert!(recovery.await.unwrap().unwrap().is_empty());
}
