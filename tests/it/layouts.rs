//! Results, the records of jobs and what waits to be published never lie in each other, whoever names the folder.

use volley_engine::{Output, Params, parse_script};

use crate::harness::House;
use crate::s3_server::S3Server;

/// The codes of every statement that publishes, and of a job's output, with `to` as its destination.
async fn codes(house: &mut House, to: &str) -> Vec<(&'static str, &'static str)> {
    let table = format!("CREATE EXTERNAL TABLE made STORED AS CSV LOCATION '{to}' AS SELECT 1 AS id");
    let mut codes = vec![];
    for (what, sql) in [
        ("COPY", format!("COPY (SELECT 1 AS id) TO '{to}' STORED AS CSV")),
        ("INSERT", "INSERT INTO there SELECT 2 AS id".to_owned()),
        ("INSERT OVERWRITE", "INSERT OVERWRITE there SELECT 2 AS id".to_owned()),
        ("CREATE TABLE AS", table),
    ] {
        house.run("DROP TABLE IF EXISTS there").await;
        house.run(&format!("CREATE EXTERNAL TABLE there (id BIGINT) STORED AS CSV LOCATION '{to}'")).await;
        codes.push((what, house.codes(&sql).await[0]));
    }
    let query = parse_script("SELECT 1 AS id").unwrap().remove(0);
    let (to, mode, format) = (to.to_owned(), "append".to_owned(), "csv".to_owned());
    let output = Output { to, mode, format, partitioned_by: vec![], options: Default::default() };
    let refused = house.session.run_into(&query, &Params::default(), &output).await;
    codes.push(("[output]", refused.err().expect("refused").code()));
    codes
}

async fn check(house: &mut House, to: &str) {
    let state = house.files(".volley/state/jobs");
    for (what, code) in codes(house, to).await {
        assert_eq!(code, "destination_invalid", "{what} to {to}");
    }
    assert_eq!(house.files(".volley/state/jobs"), state, "no job was begun for {to}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_result_goes_to_a_folder_of_or_around_the_state_or_staging() {
    let mut house = House::new().await;
    for to in [
        ".volley/state/",
        ".volley/state/out/",
        ".volley/state/jobs/x/",
        ".volley/",
        "./",
        ".volley-staging/",
        ".volley-staging/out/",
        "out/.volley-staging/x/",
    ] {
        check(&mut house, to).await;
    }
    assert!(house.files(".volley-staging").is_empty());
    // A folder whose name merely begins like another is a folder of its own.
    house.run("COPY (SELECT 1 AS id) TO '.volley-statements/' STORED AS CSV").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_result_goes_to_a_folder_of_a_bucket_in_or_around_its_staging() {
    let server = S3Server::start().await;
    let mut house = House::with(|settings| {
        server.connect(settings);
        // Of the other bucket, results wait where its connection says.
        settings.connections.get_mut("other").unwrap().staging = Some("inner/waiting".to_owned());
    })
    .await;
    for to in [
        "s3://lake/",
        "s3://lake/.volley-staging/",
        "s3://lake/.volley-staging/out/",
        "s3://lake/out/.volley-staging/",
        "s3://other/inner/",
        "s3://other/inner/waiting/",
        "s3://other/inner/waiting/out/",
    ] {
        check(&mut house, to).await;
    }
    assert_eq!(server.weather.counted().changes, 0, "nothing was written");
    house.run("COPY (SELECT 1 AS id) TO 's3://other/inner/out/' STORED AS CSV").await;
}
