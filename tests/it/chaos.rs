//! Executors that die, freeze and come back at any moment, while jobs run: every row is published once, whatever happens.
//!
//! `CHAOS_JOBS=100 CHAOS_ROWS=5000000` says how many jobs the first of these tests runs, and of how many rows;
//! `CHAOS_SEED` has it do the same again.

use std::time::{Duration, SystemTime};

use crate::cluster_ground::{Ground, ROWS_OF_SPLIT, SPLITS, TIMERS, scored};
use crate::harness::{note, number};
use crate::lossy_proxy::LossyProxy;
use crate::resume::{files, forget, jobs, receipts};

const CHAOS_SPLITS: usize = 50;

/// No job of these tests takes so long, unless it hangs.
const HUNG: Duration = Duration::from_secs(300);

/// Numbers that differ from run to run, and can be had again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        // The constants of Knuth's MMIX; the low digits repeat soon.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_that_are_killed_at_random_cost_no_row_and_double_none() {
    let rounds = number("CHAOS_JOBS").unwrap_or(3);
    let rows = number("CHAOS_ROWS").unwrap_or(500_000);
    let by_clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed = number("CHAOS_SEED").unwrap_or_else(by_clock);
    let mut chance = Chance(seed);
    let ground = Ground::of(CHAOS_SPLITS, rows as usize / CHAOS_SPLITS, TIMERS).await;
    let mut executors = ground.executors(3).await;
    let (sql, mut kills, mut given_up) = (scored(), 0, 0);
    for round in 0..rounds {
        let key = format!("round {round}");
        let killing = async {
            let mut killed = 0;
            for _ in 0..=chance.below(2) {
                ground.has_sealed(chance.below(CHAOS_SPLITS as u64 - 5) as usize).await;
                let victim = chance.below(3) as usize;
                executors[victim].kill();
                tokio::time::sleep(Duration::from_millis(chance.below(1500))).await;
                executors[victim] = ground.executor();
                killed += 1;
            }
            killed
        };
        let (ended, killed) = tokio::join!(tokio::time::timeout(HUNG, ground.run(&key, &sql)), killing);
        let told = |what: &str| format!("round {round} of seed {seed} {what}");
        match ended.unwrap_or_else(|_| panic!("{}", told("hangs"))) {
            Ok(published) => assert_eq!(published.rows, rows, "{}", told("lost rows")),
            // Both kills met one split, which is right to end the job: whoever goes on with it gets all of it.
            Err(error) if killed == 2 && error.code() == "executors_lost" => {
                given_up += 1;
                let again = tokio::time::timeout(HUNG, ground.run(&key, &sql)).await;
                assert_eq!(again.unwrap_or_else(|_| panic!("{}", told("hangs"))).unwrap().rows, rows);
            }
            Err(error) => panic!("{}: {error}", told("fails")),
        }
        kills += killed;
        let job = jobs(ground.folder.path()).pop().unwrap();
        assert_eq!(receipts(&job).len(), CHAOS_SPLITS, "{}", told("has other receipts"));
        ground.has_every_id_once().await;
        ground.forget();
    }
    note(&format!("{rounds} jobs of {rows} rows, {kills} kills, {given_up} jobs that both kills met; seed {seed}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_that_freeze_and_wake_after_the_job_was_published_change_nothing() {
    let ground = Ground::new().await;
    let executors = ground.executors(3).await;
    let sql = scored();
    let frozen = async {
        ground.has_sealed(20).await;
        executors[0].signal("STOP");
        executors[1].signal("STOP");
        assert!(ground.sealed() < SPLITS, "they froze after the last receipt");
    };
    let (published, ()) = tokio::join!(ground.run("frozen", &sql), frozen);
    assert_eq!(published.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    let out = files(&ground.path("out"));
    let receipts_of = || receipts(&jobs(ground.folder.path())[0]);
    let done = receipts_of();
    // Five times as long as it takes to be counted as dead.
    tokio::time::sleep(5 * TIMERS.dead_after).await;
    executors[..2].iter().for_each(|executor| executor.signal("CONT"));
    // They find out that they were given up, end what they had, and come back.
    let back = tokio::time::timeout(Duration::from_secs(60), ground.cluster.has_capacity(3)).await;
    assert!(back.is_ok(), "they do not come back: {:?}", ground.cluster.executors());
    while ground.cluster.executors().iter().any(|executor| !executor.running.is_empty()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(files(&ground.path("out")) == out, "the destination was changed");
    assert!(receipts_of() == done, "a receipt was changed");
    ground.has_every_id_once().await;
    forget(ground.folder.path());
    assert_eq!(ground.run("after", &sql).await.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    ground.has_every_id_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_all_executors_one_by_one_has_no_split_scored_twice() {
    const MANY: usize = 1_000;
    let ground = Ground::of(MANY, ROWS_OF_SPLIT, TIMERS).await;
    let mut executors = ground.executors(3).await;
    let sql = scored();
    let restarted = async {
        ground.has_sealed(10).await;
        for executor in &mut executors {
            let before = std::mem::replace(executor, ground.executor());
            ground.cluster.drain(&before.id()).unwrap();
            assert_eq!(before.ended().await.0, Some(0));
        }
        assert!(ground.sealed() < MANY, "the last one left after the last receipt");
    };
    let (published, ()) = tokio::join!(ground.run("rolling", &sql), restarted);
    assert_eq!(published.unwrap().rows, (MANY * ROWS_OF_SPLIT) as u64);
    assert_eq!(ground.cluster.splits_begun(), MANY as u64, "each split was given to one executor once");
    ground.has_every_id_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_of_all_calls_of_executors_may_be_lost() {
    let ground = Ground::new().await;
    let proxy = LossyProxy::start(ground.cluster.address(), 3).await;
    let _executors: Vec<_> = (0..3).map(|_| ground.executor_at(&proxy.address.to_string())).collect();
    let ran = tokio::time::timeout(HUNG, ground.run("lossy", &scored())).await.expect("it hangs");
    assert_eq!(ran.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    let (seen, lost) = proxy.counted();
    assert!(lost >= 30 && lost == seen / 3, "{lost} of {seen} calls were lost");
    ground.has_every_id_once().await;
    assert_eq!(receipts(&jobs(ground.folder.path())[0]).len(), SPLITS);
}
