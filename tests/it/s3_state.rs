//! A state in a bucket: one process works on it at a time, and whoever takes it over does what the one before left.

use std::path::Path;
use std::time::Duration;

use volley_engine::{Engine, EngineSettings};

use crate::harness::{House, model};
use crate::s3_server::S3Server;

const LEASE: Duration = Duration::from_millis(300);

/// Settings whose state lies in the bucket, and that wait for as little as a store on this machine needs.
fn settings(server: &S3Server, base: &Path) -> EngineSettings {
    let mut settings = EngineSettings {
        base: base.to_path_buf(),
        registry_base: base.to_path_buf(),
        cores: 2,
        state: "s3://lake/state/".to_string(),
        state_lease: LEASE,
        ..EngineSettings::default()
    };
    server.connect(&mut settings);
    settings.store_budget.retry = Duration::from_secs(1);
    settings.store_budget.timeout = Duration::from_secs(1);
    settings
}

async fn house(server: &S3Server, base: &Path) -> House {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(settings(server, base)).await.unwrap();
    let session = engine.session();
    House { folder, engine, session }
}

fn job(mode: &str, rows: usize) -> String {
    let model = model("linear_onnx_double");
    format!(
        "COPY (SELECT value AS id, predict('{model}', 1.0, 2.0, value / 3.0, value % 2) AS score
               FROM generate_series(1, {rows}))
         TO 's3://lake/out/' STORED AS PARQUET OPTIONS (mode '{mode}')"
    )
}

fn parts(server: &S3Server) -> usize {
    server.objects("out").keys().filter(|name| name.contains("part-")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_lie_in_the_bucket_and_the_next_process_need_not_wait_for_one_that_has_ended() {
    let server = S3Server::start().await;
    let base = tempfile::tempdir().unwrap();
    let mut first = house(&server, base.path()).await;
    let done = first.published(&job("error", 1000)).await;
    assert!(server.objects("state").keys().any(|name| name.ends_with(&format!("{}/receipt.json", done.job))));
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0, "nothing lies on this machine");
    first.engine.close().await.unwrap();

    let mut second = house(&server, base.path()).await;
    let known = second.engine.jobs().await.unwrap();
    assert_eq!(known.iter().map(|job| (job.job.to_string(), job.state)).collect::<Vec<_>>(), [(done.job, "published")]);
    let start = std::time::Instant::now();
    second.published(&job("overwrite", 2000)).await;
    assert!(start.elapsed() < Duration::from_secs(2), "no lease and no request were waited for");
    assert_eq!(second.number("SELECT count(*) FROM 's3://lake/out/'").await, 2000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_whose_state_was_taken_over_publishes_nothing_more() {
    let server = S3Server::start().await;
    let base = tempfile::tempdir().unwrap();
    let mut slow = house(&server, base.path()).await;
    slow.published(&job("error", 1000)).await;
    let before = server.objects("out");

    let mut next = house(&server, base.path()).await;
    assert_eq!(slow.engine.replaced().await.code(), "owner_replaced");
    let refused = slow.try_run(&job("overwrite", 2000)).await.unwrap_err();
    assert_eq!(refused.code(), "owner_replaced");
    assert_eq!(server.objects("out"), before);

    next.published(&job("overwrite", 3000)).await;
    assert_eq!(next.number("SELECT count(*) FROM 's3://lake/out/'").await, 3000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_dies_at_any_change_of_the_bucket_leaves_all_or_nothing_to_the_next() {
    let (mut whole, mut given_up) = (0, 0);
    let step = if std::env::var_os("EVERY_CALL").is_some() { 1 } else { 5 };
    for change in (1..).step_by(step) {
        let server = S3Server::start().await;
        let base = tempfile::tempdir().unwrap();
        let mut dying = house(&server, base.path()).await;
        let dark = server.weather.dark_at(change);
        let statement = job("error", 1000);
        let died = tokio::select! {
            biased;
            () = dark => true,
            done = dying.try_run(&statement) => {
                done.unwrap();
                false
            }
        };
        // Nothing of it runs on: its work was dropped, and it never says that it has ended.
        drop(dying);
        server.weather.blackout(Duration::ZERO).await;
        if !died {
            break;
        }
        let mut next = house(&server, base.path()).await;
        let told = next.engine.recovered_later().await;
        let shown = server.objects("out");
        match shown.is_empty() {
            false => {
                assert!(shown.keys().any(|name| name.ends_with("_SUCCESS")), "change {change}: {told:?}");
                assert_eq!(next.number("SELECT count(*) FROM 's3://lake/out/'").await, 1000.0);
                whole += 1;
            }
            true => given_up += 1,
        }
        assert_eq!(parts(&server), usize::from(!shown.is_empty()), "change {change}");
        next.published(&job("overwrite", 500)).await;
        assert_eq!(next.number("SELECT count(*) FROM 's3://lake/out/'").await, 500.0);
        assert_eq!(server.objects(".volley-staging").len(), 0, "change {change}");
    }
    assert!(whole > 0 && given_up > 0, "{whole} deaths came after the decision and {given_up} before");
}
