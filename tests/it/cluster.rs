//! Jobs whose splits are run by executors, real processes that are really killed: the result is that of a run in
//! process, whoever dies.

use std::num::NonZeroUsize;
use std::time::Duration;

use volley_cluster::ClusterSettings;

use crate::cluster_ground::{Executor, Ground, ROWS_OF_SPLIT, SPLITS, TIMERS, engine, scored};
use crate::harness::model;
use crate::process::{command, volley};
use crate::rejects::sound;
use crate::resume::{files, jobs, receipts};

/// Statements over the input, of every shape of which a split can be run alone, and some more.
fn statements() -> Vec<(&'static str, String)> {
    let model = model("linear_onnx_double");
    let (division, input) =
        (sound("division"), "(SELECT *, CASE WHEN id % 5000 = 0 THEN 0 ELSE 7 END AS x FROM 'input/')");
    let small = "(SELECT * FROM (VALUES (0, 'even'), (1, 'odd')) AS v(d, word))";
    vec![
        ("plain", scored()),
        (
            "partitioned",
            format!(
                "COPY (SELECT id, d, predict('{model}') AS score FROM 'input/' WHERE id % 3 > 0)
                 TO 'out/' STORED AS CSV PARTITIONED BY (d)"
            ),
        ),
        (
            "rejects",
            format!(
                "COPY (SELECT id, predict('{division}', x) AS score FROM {input})
                 TO 'out/' STORED AS PARQUET OPTIONS (rejects 'bad/', max_rejects 40)"
            ),
        ),
        (
            "join",
            format!(
                "COPY (SELECT id, word, predict('{model}', {{'a': a, 'b': b, 'c': c, 'd': i.d}}) AS score
                       FROM 'input/' i JOIN {small} s ON i.d = s.d)
                 TO 'out/' STORED AS PARQUET"
            ),
        ),
        (
            "sorted",
            format!(
                "COPY (SELECT id, predict('{model}') AS score FROM 'input/' ORDER BY c DESC) TO 'out/' STORED AS JSON"
            ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_publish_the_bytes_that_one_process_publishes_under_the_same_job_id() {
    let ground = Ground::new().await;
    let _executors = ground.executors(2).await;
    for (key, sql) in statements() {
        let there = ground.run(key, &sql).await.unwrap_or_else(|error| panic!("{key}: {error}"));
        let published = [files(&ground.path("out")), files(&ground.path("bad"))];
        ground.forget();
        let here = ground.run_here(key, &sql).await.unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(there.job, here.job, "{key}");
        assert_eq!(
            (there.rows, there.rejected, there.null_scores),
            (here.rows, here.rejected, here.null_scores),
            "{key}"
        );
        for (folder, was) in ["out", "bad"].iter().zip(&published) {
            let is = files(&ground.path(folder));
            assert_eq!(was.keys().collect::<Vec<_>>(), is.keys().collect::<Vec<_>>(), "{key}");
            let differ: Vec<_> =
                was.iter().filter(|(name, bytes)| is[*name] != **bytes).map(|(name, _)| name).collect();
            // What it holds of when it was published is not of the splits.
            let differ: Vec<_> = differ.into_iter().filter(|name| name.as_os_str() != "_SUCCESS").collect();
            assert!(differ.is_empty(), "{key}: {differ:?} differ in {folder}");
        }
        assert!(there.rows > 0 && (key == "rejects") == (there.rejected == 40), "{key}: {there:?}");
        ground.forget();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_splits_of_an_executor_that_is_killed_run_elsewhere_and_those_that_are_done_nowhere() {
    let ground = Ground::new().await;
    let mut executors = ground.executors(3).await;
    let sql = scored();
    let killed = async {
        ground.has_sealed(20).await;
        executors[0].kill();
        let done = receipts(&jobs(ground.folder.path())[0]);
        assert!(done.len() < SPLITS, "the kill came after the last receipt");
        done
    };
    let (published, done) = tokio::join!(ground.run("killed", &sql), killed);
    assert_eq!(published.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    let after = receipts(&jobs(ground.folder.path())[0]);
    assert!(done.iter().all(|(split, receipt)| after[split] == *receipt), "a split that was done was done again");
    ground.has_every_id_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_new_executors_when_all_are_killed() {
    let ground = Ground::new().await;
    let mut executors = ground.executors(2).await;
    let sql = scored();
    let killed = async {
        ground.has_sealed(20).await;
        executors.iter_mut().for_each(Executor::kill);
        let done = ground.sealed();
        assert!(done < SPLITS, "the kill came after the last receipt");
        while ground.cluster.capacity() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(ground.sealed(), done, "nobody is left who could do more");
        ground.executors(2).await
    };
    let (published, _executors) = tokio::join!(ground.run("killed", &sql), killed);
    assert_eq!(published.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    ground.has_every_id_once().await;
}

/// One row asks for more memory than the executors may have, which ends them.
#[tokio::test(flavor = "multi_thread")]
async fn a_split_that_kills_its_executors_costs_two_of_them_and_its_own_job_alone() {
    let ground = Ground::new().await;
    let limited = || {
        let address = ground.cluster.address();
        let mut shell = std::process::Command::new("sh");
        let volley = command(ground.folder.path(), &[]);
        let line = format!(
            "ulimit -v 4000000; ulimit -c 0; exec '{}' executor --server {address} --cores 1 --heartbeat-seconds 1 --pulse-milliseconds 100",
            volley.get_program().display()
        );
        shell.args(["-c", &line]).current_dir(ground.folder.path());
        Executor::spawn(shell)
    };
    let mut executors: Vec<_> = (0..3).map(|_| limited()).collect();
    ground.cluster.has_capacity(3).await;
    let poison = format!(
        "COPY (SELECT id, predict('{}') AS score,
                      length(repeat('x', CASE WHEN id = 7001 THEN 1900000000 ELSE 0 END)) AS long
               FROM 'input/') TO 'poisoned/' STORED AS PARQUET",
        model("linear_onnx_double")
    );
    let (sql, also) = (scored(), scored().replace("'out/'", "'also/'"));
    let (poisoned, beside, also) =
        tokio::join!(ground.run("poison", &poison), ground.run("beside", &sql), ground.run("also", &also));
    let error = poisoned.unwrap_err();
    assert_eq!(error.code(), "executors_lost", "{error}");
    // Row 7001 of groups of 2000 rows.
    assert!(
        error.to_string().contains("split 3, which `") && error.to_string().contains("linear_onnx_double"),
        "{error}"
    );
    for beside in [beside, also] {
        assert_eq!(beside.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    }
    ground.has_every_id_once().await;
    assert!(!ground.path("poisoned").exists(), "nothing of it is published");
    let deaths: usize = executors.iter_mut().map(|executor| usize::from(executor.is_over())).sum();
    assert_eq!(deaths, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_stopped_leaves_its_executors_idle_and_is_gone_on_with_on_them() {
    let ground = Ground::new().await;
    let _executors = ground.executors(2).await;
    let sql = scored();
    let stopped = async {
        ground.has_sealed(20).await;
        ground.engine.stop()
    };
    let (ended, stopping) = tokio::join!(ground.run("stopped", &sql), stopped);
    let error = ended.unwrap_err();
    assert_eq!(error.code(), "interrupted", "{error}");
    let running: Vec<_> = ground.cluster.executors().into_iter().flat_map(|executor| executor.running).collect();
    assert!(running.is_empty(), "{running:?} still run");
    let done = ground.sealed();
    assert!(done < SPLITS && !ground.path("out").exists());
    drop(stopping);
    assert_eq!(ground.run("stopped", &sql).await.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    assert_eq!(jobs(ground.folder.path()).len(), 1, "it was gone on with");
    ground.has_every_id_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_drained_or_terminated_ends_its_splits_and_leaves() {
    let ground = Ground::new().await;
    let mut executors = ground.executors(3).await;
    let sql = scored();
    let (drained, terminated) = (executors.remove(0), executors.remove(0));
    let left = async {
        ground.has_sealed(10).await;
        ground.cluster.drain(&drained.id()).unwrap();
        terminated.signal("TERM");
        let left = tokio::join!(drained.ended(), terminated.ended());
        assert!(ground.sealed() < SPLITS, "they left while the job ran");
        left
    };
    let (published, left) = tokio::join!(ground.run("drained", &sql), left);
    assert_eq!((left.0.0, left.1.0), (Some(0), Some(0)), "{left:?}");
    assert_eq!(published.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    assert_eq!(ground.cluster.executors().len(), 1);
    assert_eq!(ground.cluster.drain("nobody").unwrap_err().code(), "unknown_executor");
    ground.has_every_id_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_that_fails_ends_the_job_with_its_own_error() {
    let ground = Ground::new().await;
    let _executors = ground.executors(2).await;
    let sql = format!(
        "COPY (SELECT id, predict('{}', x) AS score
               FROM (SELECT id, CASE WHEN id = 9001 THEN 0 ELSE 7 END AS x FROM 'input/'))
         TO 'out/' STORED AS PARQUET",
        sound("division")
    );
    let there = ground.run("failing", &sql).await.unwrap_err();
    let here = ground.run_here("failing here", &sql).await.unwrap_err();
    assert_eq!(there.problems, here.problems);
    assert!(there.to_string().contains("row 9000 (from 0)"), "{there}");
    assert!(!ground.path("out").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn splits_that_depend_on_each_other_run_where_they_were_planned() {
    let ground = Ground::new().await;
    let sql = format!(
        "COPY (SELECT d, avg(score) AS mean FROM (SELECT d, predict('{}') AS score FROM 'input/') GROUP BY d)
         TO 'out/' STORED AS PARQUET",
        model("linear_onnx_double")
    );
    // There is no executor that could do it.
    let published = tokio::time::timeout(Duration::from_secs(60), ground.run("shuffled", &sql)).await;
    assert_eq!(published.expect("it waits for nobody").unwrap().rows, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_the_token_of_the_cluster_is_no_executor() {
    let token = volley_cluster::Token::new("a token of this test").map_err(|error| error.code());
    assert_eq!(token.unwrap_err(), "token_invalid", "no header can carry it");
    let settings = ClusterSettings {
        token: Some(volley_cluster::Token::new("a-token-of-this-test").unwrap()),
        ..ClusterSettings::default()
    };
    let cluster = volley_cluster::Cluster::start(settings).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let _engine = engine(folder.path()).await.with_driver(cluster.driver());
    let executor = |token: Option<&str>| {
        let mut command = command(folder.path(), &["executor", "--server", &cluster.address().to_string()]);
        if let Some(token) = token {
            command.env("VOLLEY_CLUSTER_TOKEN", token);
        }
        Executor::spawn(command)
    };
    for wrong in [None, Some("another-token-of-this-test")] {
        let (status, told) = executor(wrong).ended().await;
        assert_eq!(status, Some(1), "{told}");
        assert!(told.ends_with("[token_refused]") && !told.contains("-of-this-test"), "{told}");
    }
    let _right = executor(Some("a-token-of-this-test"));
    cluster.has_capacity(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_this_machine_a_cluster_wants_a_token() {
    let bind = "0.0.0.0:0".parse().unwrap();
    let settings = ClusterSettings { bind, ..ClusterSettings::default() };
    assert_eq!(volley_cluster::Cluster::start(settings).await.unwrap_err().code(), "token_required");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join(".volley/state")).unwrap();
    for port in [["--bind", "0.0.0.0"], ["--http-listen", "0.0.0.0:0"]] {
        let executor = [&["executor", "--server", "127.0.0.1:1"], &port[..]].concat();
        volley(folder.path(), &executor).is_error(2, &["0.0.0.0:0", "give a token", "[token_required]"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_without_the_state_of_its_server_takes_no_work() {
    let cluster = volley_cluster::Cluster::start(ClusterSettings::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let command = command(folder.path(), &["executor", "--server", &cluster.address().to_string()]);
    let (status, told) = Executor::spawn(command).ended().await;
    assert_eq!(status, Some(2), "{told}");
    assert!(told.ends_with("[bad_state]"), "{told}");
    assert!(cluster.executors().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_job_that_comes_during_a_big_one_is_soon_done() {
    const MANY: usize = 600;
    let ground = Ground::of(MANY, ROWS_OF_SPLIT, TIMERS).await;
    let _executors = ground.executors(2).await;
    let model = model("linear_onnx_double");
    let few = format!(
        "COPY (SELECT value AS id, 1.0 AS a, 2.0 AS b, value / 3.0 AS c, value % 2 AS d FROM generate_series(1, {}))
         TO 'few/' STORED AS PARQUET OPTIONS (max_row_group_size {ROWS_OF_SPLIT})",
        10 * ROWS_OF_SPLIT
    );
    ground.run("few", &few).await.unwrap();
    let small = format!("COPY (SELECT id, predict('{model}') AS score FROM 'few/') TO 'small/' STORED AS PARQUET");
    let sql = scored();
    let during = async {
        ground.has_sealed(20).await;
        let big = jobs(ground.folder.path()).pop().unwrap();
        let before = receipts(&big).len();
        let published = ground.run("small", &small).await.unwrap();
        (published, receipts(&big).len() - before)
    };
    let (big, (small, meanwhile)) = tokio::join!(ground.run("big", &sql), during);
    assert_eq!(big.unwrap().rows, (MANY * ROWS_OF_SPLIT) as u64);
    assert_eq!(small.rows, (10 * ROWS_OF_SPLIT) as u64);
    // Each has half of the executors; planning and publishing the small one take their time too.
    assert!(meanwhile > 0 && meanwhile < MANY / 2, "{meanwhile} splits of the big one were done during the small one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_no_more_executors_than_a_job_may_have() {
    let limit = NonZeroUsize::new(1);
    let settings = ClusterSettings { timers: TIMERS, job_splits_max: limit, ..ClusterSettings::default() };
    let ground = Ground::with(SPLITS, ROWS_OF_SPLIT, settings).await;
    let _executors = ground.executors(3).await;
    let sql = scored();
    let watched = async {
        let mut most = 0;
        while ground.sealed() < SPLITS {
            let running = ground.cluster.executors().iter().map(|executor| executor.running.len()).sum::<usize>();
            most = most.max(running);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        most
    };
    let (published, most) = tokio::join!(ground.run("limited", &sql), watched);
    assert_eq!(published.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    // One that has ended may still be told of by its executor while the next one runs.
    assert!((1..=2).contains(&most), "{most} splits ran at a time");
    ground.has_every_id_once().await;
}
