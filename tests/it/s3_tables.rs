//! Tables in buckets and on the web read as those in folders do, and say as clearly what is wrong with them.

use volley_engine::{Budget, Connection, SecretRef};

use crate::harness::House;
use crate::s3_server::S3Server;

/// A house that reaches the bucket `lake`, with one table in every format and shape, in a folder and in the bucket.
async fn house() -> (S3Server, House) {
    let server = S3Server::start().await;
    let mut house = House::with(|settings| server.connect(settings)).await;
    let rows =
        "SELECT value AS id, value * 0.5 AS x, 'text ' || value AS s, value % 2 AS part FROM generate_series(1, 40)";
    for format in ["PARQUET", "CSV", "JSON", "ARROW"] {
        house.run(&format!("COPY ({rows}) TO 'in/{format}/' STORED AS {format}")).await;
    }
    house.run(&format!("COPY ({rows}) TO 'in/hive/' STORED AS PARQUET PARTITIONED BY (part)")).await;
    std::fs::create_dir(house.path("in/one")).unwrap();
    let part = house.files("in/CSV").pop().unwrap();
    std::fs::write(house.path("in/one/a b.csv"), part.1).unwrap();
    server.upload(&house.path("in"), "lake", "in");
    (server, house)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_table_in_a_bucket_reads_as_one_in_a_folder() {
    let (_server, mut house) = house().await;
    for table in
        ["PARQUET/", "PARQUET", "CSV/", "JSON/", "ARROW/", "hive/", "hive/*/*.parquet", "one/a b.csv", "one/*.csv"]
    {
        let rows = |root: &str| format!("SELECT id, x, s FROM '{root}in/{table}' ORDER BY id");
        let (local, remote) = (house.text(&rows("")).await, house.text(&rows("s3://lake/")).await);
        assert!(local.contains("text 40") && local == remote, "{table}\n{local}\n{remote}");
    }
    assert_eq!(house.number("SELECT count(*) FROM 's3://lake/in/hive/' WHERE part = 1").await, 20.0);
    assert_eq!(house.number("SELECT count(*) FROM 's3a://lake/in/CSV/'").await, 40.0);
    house.run("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://lake/in/CSV/'").await;
    assert_eq!(house.number("SELECT sum(id) FROM t JOIN 'in/PARQUET/' USING (id)").await, 820.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_wrong_with_a_table_has_the_code_that_it_has_in_a_folder() {
    let (server, mut house) = house().await;
    std::fs::create_dir_all(house.path("in/delta/_delta_log")).unwrap();
    std::fs::write(house.path("in/delta/_delta_log/00000000000000000000.json"), b"{}").unwrap();
    std::fs::create_dir(house.path("in/marked")).unwrap();
    std::fs::write(house.path("in/marked/_SUCCESS"), b"{}").unwrap();
    std::fs::create_dir(house.path("in/mixed")).unwrap();
    for name in ["bad.parquet", "y.xlsx", "mixed/a.csv", "mixed/b.json"] {
        std::fs::write(house.path("in").join(name), b"what is this").unwrap();
    }
    server.upload(&house.path("in"), "lake", "in");
    for (table, code) in [
        ("delta/", "table_format"),
        ("marked/", "table_empty"),
        ("mixed/", "mixed_formats"),
        ("nowhere/", "table_not_found"),
        ("PARKET/", "table_not_found"),
        ("x/*.csv", "table_not_found"),
        ("bad.parquet", "bad_file"),
        ("y.xlsx", "unknown_format"),
    ] {
        for root in ["", "s3://lake/"] {
            assert_eq!(house.codes(&format!("SELECT * FROM '{root}in/{table}'")).await, [code], "{root}in/{table}");
        }
    }
    let told = house.try_run("SELECT * FROM 's3://lake/in/PARKET/'").await.unwrap_err().to_string();
    assert!(told.contains("did you mean 's3://lake/in/PARQUET/'?"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn files_of_one_path_in_two_buckets_are_never_taken_for_each_other() {
    let server = S3Server::start().await;
    let mut house = House::with(|settings| server.connect(settings)).await;
    // As alike as can be: path, size and time.
    for (bucket, first) in [("lake", 1), ("other", 5)] {
        let rows = format!("SELECT value AS id FROM generate_series({first}, {})", first + 3);
        house
            .run(&format!("COPY ({rows}) TO '{bucket}/' STORED AS PARQUET OPTIONS (compression 'uncompressed')"))
            .await;
        let (_, bytes) = house.files(bucket).pop().unwrap();
        let file = server.bucket(bucket).join("in/x.parquet");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, bytes).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    }
    let size = |bucket: &str| std::fs::metadata(server.bucket(bucket).join("in/x.parquet")).unwrap().len();
    assert_eq!(size("lake"), size("other"));
    let both = "SELECT (SELECT sum(id) FROM 's3://lake/in/') * 100 + (SELECT max(id) FROM 's3://other/in/')";
    for _ in 0..2 {
        assert_eq!(house.number(both).await, 1008.0);
        assert_eq!(
            house
                .number("SELECT sum(a.id + b.id) FROM 's3://other/in/' a JOIN 's3://lake/in/' b ON a.id = b.id + 4")
                .await,
            36.0
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_stands_between_a_url_and_its_objects_is_told_by_name() {
    let (server, _) = house().await;
    let variables =
        [("LAKE_KEY_ID", "K"), ("LAKE_SECRET", "WRONGCANARY0417")].map(|(n, v)| (n.to_string(), v.to_string()));
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let mut house = House::with(|settings| {
        server.connect(settings);
        settings.environment = volley_engine::Environment::of(variables);
        settings.store_budget = Budget { retry: std::time::Duration::from_millis(500), ..settings.store_budget };
        let mut add = |name: &str, connection: Connection| settings.connections.insert(name.to_string(), connection);
        let key_file = Some(SecretRef::File("/nowhere/lake.key".into()));
        add("gone", Connection { endpoint: Some(format!("http://{nobody}")), ..server.connection("s3://gone/") });
        add("keyless", Connection { secret_access_key: key_file, ..server.connection("s3://keyless/") });
        add("part", server.connection("s3://part/mine/"));
    })
    .await;
    for (url, codes, parts) in [
        ("s3://lake/in/CSV/", ["table_access_denied", "store_access_denied"], ["connection `lake`", "403"]),
        ("s3://gone/in/", ["store_unavailable"; 2], ["s3://gone/in", "refused"]),
        ("s3://keyless/in/", ["missing_credentials"; 2], ["connection `keyless`", "/nowhere/lake.key"]),
        ("s3://nobody/in/", ["missing_credentials"; 2], ["s3://nobody/", "AWS_ACCESS_KEY_ID"]),
        ("s3://part/yours/", ["table_access_denied", "store_access_denied"], ["no connection", "s3://part/mine"]),
        ("hdfs://lake/in/", ["unknown_scheme"; 2], ["hdfs", "s3, gs, az"]),
        ("s3://u:PASSCANARY@lake/in/", ["credentials_in_url"; 2], ["'s3://lake/in/'", "connection"]),
        ("https://127.0.0.1/in/", ["not_listable", "store_read_only"], ["'https://127.0.0.1/in/'", ""]),
        (
            "https://127.0.0.1/x.csv?sig=PASSCANARY",
            ["credentials_in_url", "credentials_in_url"],
            ["'https://127.0.0.1/x.csv'", ""],
        ),
    ] {
        let read = format!("SELECT * FROM '{url}'");
        let external = format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{url}'");
        let write = format!("COPY (SELECT 1 AS a) TO '{url}out' STORED AS CSV");
        for (sql, code) in [(read, codes[0]), (external, codes[0]), (write, codes[1])] {
            let error = house.try_run(&sql).await.map(|given| format!("{given:?}")).expect_err(&sql);
            let told = error.to_string();
            assert_eq!(error.code(), code, "{sql}\n{told}");
            assert!(parts.iter().all(|part| told.contains(part) || sql.starts_with("COPY")), "{sql}\n{told}");
            assert!(!told.contains("CANARY") && told.lines().count() == 1, "{sql}\n{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bucket_that_is_not_there_is_told_apart_from_a_table_that_is_not() {
    let server = S3Server::start().await;
    let mut house = House::with(|settings| {
        server.connect(settings);
        settings.connections.insert("none".to_string(), server.connection("s3://none/"));
    })
    .await;
    assert_eq!(house.codes("SELECT * FROM 's3://lake/in/'").await, ["table_not_found"]);
    assert_eq!(house.codes("SELECT * FROM 's3://none/in/'").await, ["bucket_not_found"]);
    assert_eq!(house.codes("COPY (SELECT 1 AS a) TO 's3://none/out/' STORED AS CSV").await, ["bucket_not_found"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_on_the_web_is_a_table() {
    let (_closed, mut house) = house().await;
    let web = S3Server::start_open().await;
    web.upload(&house.path("in"), "lake", "in");
    for (table, rows) in [("PARQUET", 40.0), ("CSV", 40.0), ("JSON", 40.0)] {
        let name = house.files(&format!("in/{table}")).pop().unwrap().0;
        let url = format!("{}/lake/in/{table}/{name}", web.endpoint());
        assert_eq!(house.number(&format!("SELECT count(DISTINCT s) FROM '{url}'")).await, rows, "{url}");
    }
    let missing = format!("SELECT * FROM '{}/lake/in/none.csv'", web.endpoint());
    assert_eq!(house.codes(&missing).await, ["table_not_found"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_registry_can_lie_in_a_bucket() {
    let server = S3Server::start().await;
    let mut house = House::with(|settings| {
        server.connect(settings);
        settings.registry = Some("s3://lake/registry".to_string());
    })
    .await;
    house.register("lin", "linear_onnx_double", None).await;
    assert!(server.objects("registry").keys().any(|key| key.starts_with("models/lin/")));
    house.run("CREATE TABLE t AS SELECT 1.0::double AS a, 2.0::double AS b, 3.0::double AS c, 4.0::double AS d").await;
    assert!(house.number("SELECT predict('lin/1') FROM t").await > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tables_are_read_whole_in_bad_weather() {
    let (server, mut house) = house().await;
    for (percent, seed) in [(5, 1), (20, 2), (20, 3)] {
        server.weather.storm(percent, seed);
        for table in ["PARQUET/", "CSV/", "JSON/", "ARROW/", "hive/", "hive/*/*.parquet"] {
            assert_eq!(house.number(&format!("SELECT sum(id) FROM 's3://lake/in/{table}'")).await, 820.0, "{table}");
        }
    }
    let counted = server.weather.counted();
    assert!(counted.refused > 0 && counted.lost > 0, "{counted:?}");
}

#[tokio::test]
async fn a_link_may_not_lead_out_of_the_folder_that_a_statement_names() {
    let mut house = House::new().await;
    for table in ["in", "outside"] {
        house.run(&format!("COPY (SELECT 1 AS id) TO '{table}/' STORED AS PARQUET")).await;
    }
    let (part, _) = house.files("outside").pop().unwrap();
    let link = |from: std::path::PathBuf, to: &str| std::os::unix::fs::symlink(from, house.path(to)).unwrap();
    link(house.path("in"), "named");
    link(house.path(&format!("outside/{part}")), "single.parquet");
    std::fs::create_dir_all(house.path("hive/d=1")).unwrap();
    std::fs::copy(house.path(&format!("outside/{part}")), house.path("hive/d=1/x.parquet")).unwrap();
    // What a statement names may be a link; what lies in it may lead around in it.
    link(house.path("hive/d=1/x.parquet"), "hive/d=1/y.parquet");
    for table in ["in/", "named/", "single.parquet", "hive/"] {
        house.rows(&format!("SELECT * FROM '{table}'")).await;
    }
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(house.path(from), house.path(to)).unwrap();
    link(&format!("outside/{part}"), "in/more.parquet");
    link("outside", "hive/d=2");
    for table in ["in/", "named/", "in/*.parquet", "hive/", "hive/*/*.parquet"] {
        let error = house.try_run(&format!("SELECT * FROM '{table}'")).await.map(|given| format!("{given:?}"));
        let error = error.expect_err(table);
        assert_eq!(error.code(), "link_leads_out", "{table}: {error}");
    }
}

#[tokio::test]
async fn a_result_is_not_led_out_of_its_destination_by_a_link() {
    let mut house = House::new().await;
    for folder in ["outside", "out", "elsewhere"] {
        std::fs::create_dir(house.path(folder)).unwrap();
    }
    let copy = |to: &str| format!("COPY (SELECT 1 AS id, 2 AS d) TO '{to}/' STORED AS PARQUET PARTITIONED BY (d)");
    std::os::unix::fs::symlink(house.path("outside"), house.path("out/d=2")).unwrap();
    let error = house.try_run(&copy("out")).await.map(|given| format!("{given:?}")).unwrap_err();
    assert_eq!(error.code(), "destination_invalid", "{error}");
    assert!(error.to_string().contains("leads out of it"), "{error}");
    assert!(house.files("outside").is_empty());
    // What the statement names may be a link.
    std::os::unix::fs::symlink(house.path("elsewhere"), house.path("named")).unwrap();
    house.run(&copy("named")).await;
    assert_eq!(house.files("elsewhere").len(), 2);
}
