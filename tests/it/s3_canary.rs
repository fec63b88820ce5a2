//! Credentials get to the store and nowhere else: not into answers, errors, plans, records or files.

use std::path::Path;

use crate::harness::House;
use crate::process::{Ended, command};
use crate::s3_server::{KEY_ID, S3Server, SECRET};

/// Credentials that no server takes.
const WRONG: &str = "WRONGCANARY0417";
/// One that stands in a URL.
const IN_URL: &str = "URLCANARY0417";
const TOKEN: &str = "TOKENCANARY0417";

/// Every credential of this test, and what they have in common.
const CANARIES: [&str; 6] = [KEY_ID, SECRET, WRONG, IN_URL, TOKEN, "CANARY"];

fn check(text: &str, place: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{place} holds {canary}:\n{text}");
    }
}

/// Everything below a folder but what was put there to be read.
fn check_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => check_files(&path),
            path if path.extension().is_some_and(|extension| extension == "key") => {}
            path => check(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()), &path.display().to_string()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn credentials_are_in_no_answer_plan_record_or_file() {
    let server = S3Server::start().await;
    let mut house = House::new().await;
    house.run("COPY (SELECT value AS id FROM generate_series(1, 10)) TO 'in/' STORED AS CSV").await;
    server.upload(&house.path("in"), "lake", "in");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("wrong.key", WRONG);
    write("account.key", &format!("{{\"private_key\": \"{TOKEN}"));
    let more = format!(
        "store_retry_seconds = 1\n{}
         [connections.wrong]\nurl = 's3://wrong/'\nendpoint = '{endpoint}'
         access_key_id = {{ env = 'LAKE_KEY_ID' }}\nsecret_access_key = {{ file = 'wrong.key' }}
         session_token = {{ env = 'TOKEN' }}
         [connections.missing]\nurl = 's3://missing/'\nendpoint = '{endpoint}'
         access_key_id = {{ env = 'LAKE_KEY_ID' }}\nsecret_access_key = {{ env = 'NO_SUCH_VARIABLE' }}
         [connections.gone]\nurl = 's3://gone/'\nendpoint = 'http://127.0.0.1:1'
         access_key_id = {{ env = 'LAKE_KEY_ID' }}\nsecret_access_key = {{ env = 'LAKE_SECRET' }}
         [connections.google]\nurl = 'gs://lake/'\nservice_account = {{ file = 'account.key' }}
         [connections.azure]\nurl = 'az://lake/'\naccount = 'a'\naccess_key = {{ env = 'TOKEN' }}
         [connections.web]\nurl = 'http://127.0.0.1:1/'\nbearer_token = {{ env = 'TOKEN' }}\n",
        server.settings(),
        endpoint = server.endpoint()
    );
    write("volley.toml", &more);
    write(
        "job.sql",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://lake/in/';
         COPY (SELECT id FROM t) TO 's3://lake/out/' STORED AS PARQUET OPTIONS (mode 'append');",
    );
    let run = |arguments: &[&str]| {
        let mut command = command(folder.path(), arguments);
        command.env("LAKE_KEY_ID", KEY_ID).env("LAKE_SECRET", SECRET).env("TOKEN", TOKEN).env("RUST_BACKTRACE", "1");
        let ended = Ended::from(command.output().unwrap());
        check(&format!("{}\n{}", ended.said, ended.warned), &format!("the answer to {arguments:?}"));
        ended
    };
    for fine in [
        &["run", "job.sql", "--json"][..],
        &["sql", "-c", "EXPLAIN VERBOSE SELECT * FROM 's3://lake/in/'"],
        &["sql", "-c", "EXPLAIN ANALYZE SELECT count(*) FROM 's3://lake/in/'"],
        &["sql", "-c", "EXPLAIN COPY (SELECT 1 AS a) TO 's3://lake/x/' STORED AS CSV"],
        &["sql", "-c", "SHOW ALL"],
        &["sql", "-c", "SELECT * FROM information_schema.df_settings"],
    ] {
        let ended = run(fine);
        assert_eq!(ended.status, Some(0), "{fine:?}\n{}", ended.warned);
    }
    let failing = ["lake/none", "wrong/in", "missing/in", "gone/in"].map(|place| format!("s3://{place}/"));
    let others = [
        format!("s3://{KEY_ID}:{IN_URL}@lake/in/"),
        format!("s3://{IN_URL}@lake/*.csv"),
        format!("http://127.0.0.1:1/x.csv?X-Amz-Signature={IN_URL}"),
        "gs://lake/in/".to_string(),
        "az://lake/in/".to_string(),
        "http://127.0.0.1:1/x.csv".to_string(),
    ];
    for url in failing.iter().chain(&others) {
        for statement in [
            format!("SELECT * FROM '{url}'"),
            format!("EXPLAIN SELECT * FROM '{url}'"),
            format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{url}'"),
            format!("COPY (SELECT 1 AS a) TO '{url}' STORED AS CSV"),
            format!("COPY (SELECT a / 0 AS a FROM (SELECT 1 AS a)) TO '{url}' STORED AS CSV"),
        ] {
            let text = run(&["sql", "-c", &statement]);
            let writes_to_lake = url == "s3://lake/none/" && statement.contains("COPY (SELECT 1");
            assert_eq!(text.status == Some(0), writes_to_lake, "{statement}\n{}", text.warned);
        }
        let json = run(&["sql", "--json", "-c", &format!("SELECT * FROM '{url}'")]);
        assert_eq!(json.status == Some(0), url == "s3://lake/none/", "{url}\n{}", json.said);
    }
    check_files(folder.path());
    for (name, bytes) in server.objects("") {
        check(&String::from_utf8_lossy(&bytes), &name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_credential_that_is_written_into_the_settings_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        format!("secret_access_key = '{WRONG}'"),
        format!("access_key_id = {{ key = '{WRONG}' }}"),
        format!("url = 's3://{KEY_ID}:{WRONG}@lake/'"),
        format!("endpoint = 'http://{KEY_ID}:{WRONG}@127.0.0.1/'\nurl = 's3://lake/'"),
    ] {
        std::fs::write(folder.path().join("volley.toml"), format!("[connections.lake]\n{line}\n")).unwrap();
        let ended = Ended::from(command(folder.path(), &["sql", "-c", "SELECT 1"]).output().unwrap());
        assert_eq!(ended.status, Some(2), "{line}\n{}{}", ended.said, ended.warned);
        check(&format!("{}\n{}", ended.said, ended.warned), &line);
    }
}
