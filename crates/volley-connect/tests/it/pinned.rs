//! The inputs of a job are read as they were when it was planned, whatever road the plan took.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::collect_partitioned;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use sha2::{Digest, Sha256};
use volley_connect::{PinnedStores, reading_through};

use crate::harness::{Begun, House, told};
use crate::plans::Codec;

#[derive(Clone, Copy, Debug)]
enum Road {
    /// The plan as the session made it.
    Here,
    /// Encoded, and decoded as another process would.
    Travelled,
}

/// Runs a write as whoever was handed the plan, and gives what its stores found to have changed.
async fn run(house: &House, begun: &Begun, road: Road) -> (Result<()>, Option<(&'static str, String)>) {
    let stores = PinnedStores::new(&begun.inputs, &house.context.runtime_env());
    let runtime = stores.runtime(&house.context.runtime_env()).expect("a runtime");
    let task = Arc::new(TaskContext::from(&house.context.state()).with_runtime(runtime.clone()));
    let plan = match road {
        Road::Here => reading_through(begun.plan.clone(), &runtime).expect("a plan"),
        Road::Travelled => {
            let bytes = physical_plan_to_bytes_with_extension_codec(begun.plan.clone(), &Codec).expect("encoded");
            physical_plan_from_bytes_with_extension_codec(&bytes, &task, &Codec).expect("decoded")
        }
    };
    let done = collect_partitioned(plan, task).await.map(drop);
    (done, stores.changed().map(|error| (error.code(), error.to_string())))
}

fn only_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = files.filter(|path| path.file_name().is_some_and(|name| name != "_SUCCESS")).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    file.clone()
}

/// As a writer leaves it that writes the same bytes anew: only the time tells.
fn touch(file: &Path) {
    let file = File::options().append(true).open(file).expect("a file");
    let moment = file.metadata().expect("metadata").modified().expect("a time") + Duration::from_secs(1);
    file.set_modified(moment).expect("set");
}

#[tokio::test]
async fn an_input_that_changes_under_a_job_is_named() {
    for format in ["PARQUET", "CSV", "JSON", "ARROW"] {
        for road in [Road::Here, Road::Travelled] {
            let case = format!("{format}, {road:?}");
            let house = House::new();
            house.write_parquet("rows.parquet", 0, 300, 300);
            house.publish(&format!("COPY (SELECT * FROM 'rows.parquet') TO 'in' STORED AS {format}")).await;
            let copy = "COPY (SELECT id, name FROM 'in/') TO 'out' STORED AS CSV OPTIONS (mode 'append')";
            let unchanged = house.begin(copy).await.expect("begun");
            let (done, changed) = run(&house, &unchanged, road).await;
            assert_eq!((done.map_err(|error| error.to_string()), changed), (Ok(()), None), "{case}");

            let begun = house.begin(copy).await.expect("begun");
            let file = only_file(&house.path("in"));
            touch(&file);
            let (done, changed) = run(&house, &begun, road).await;
            assert!(done.is_err(), "{case}");
            let (code, message) = changed.unwrap_or_else(|| panic!("{case}: nothing changed"));
            assert_eq!(code, "input_changed", "{case}");
            assert!(message.contains(file.to_str().expect("a name")), "{case}: {message}");
            assert!(begun.job.receipt(0).await.expect("read").is_none(), "{case}");
        }
    }
}

#[tokio::test]
async fn an_input_that_is_gone_or_has_grown_is_told_as_such() {
    let check = async |change: fn(&Path), part: &str| {
        let house = House::new();
        house.write_text("in/a.csv", "id\n1\n2\n");
        let begun = house.begin("COPY (SELECT * FROM 'in/') TO 'out' STORED AS CSV").await.expect("begun");
        change(&house.path("in/a.csv"));
        let (_, changed) = run(&house, &begun, Road::Travelled).await;
        let (_, message) = changed.expect("changed");
        assert!(message.contains(part), "{message}");
    };
    check(|file| std::fs::remove_file(file).expect("removed"), "it is gone").await;
    check(|file| std::fs::write(file, "id\n1\n2\n3\n").expect("written"), "it had 7 bytes and has 9").await;
}

#[tokio::test]
async fn the_smaller_side_of_a_join_is_pinned_too() {
    let house = House { split_rows: 100, ..House::new() };
    house.write_parquet("big.parquet", 0, 300, 100);
    house.write_parquet("small.parquet", 0, 10, 10);
    let sql = "COPY (SELECT b.id FROM 'big.parquet' b JOIN 'small.parquet' s ON s.id = b.id) TO 'out' STORED AS CSV";
    let begun = house.begin(sql).await.expect("begun");
    assert_eq!((begun.inputs.files.len(), begun.inputs.splits.len()), (2, 3));
    touch(&house.path("small.parquet"));
    let runtime = house.context.runtime_env();
    begun.inputs.check_split(0, &runtime).await.expect("the split's own file is as it was");
    assert_eq!(begun.inputs.check_rest(&runtime).await.expect_err("changed").code(), "input_changed");
    let (_, changed) = run(&house, &begun, Road::Travelled).await;
    assert!(changed.expect("changed").1.contains("small.parquet"));
}

#[tokio::test]
async fn a_file_that_was_written_to_while_it_was_read_is_found_before_the_receipt() {
    let house = House { split_rows: 100, ..House::new() };
    house.write_parquet("in/a.parquet", 0, 100, 100);
    house.write_parquet("in/b.parquet", 100, 100, 100);
    let begun = house.begin("COPY (SELECT * FROM 'in/') TO 'out' STORED AS CSV").await.expect("begun");
    touch(&house.path("in/b.parquet"));
    // Through the session's own stores, as if every get had come before the change.
    let error = collect_partitioned(begun.plan.clone(), house.context.task_ctx()).await.expect_err("refused");
    assert_eq!(told(&error).0, "input_changed");
    assert!(begun.job.receipt(1).await.expect("read").is_none());
}

#[tokio::test]
async fn a_receipt_promises_rows_bytes_checksums_and_model() {
    for format in ["PARQUET", "CSV", "JSON", "ARROW"] {
        let house = House::new();
        house.write_parquet("a.parquet", 0, 300, 100);
        let begun =
            house.begin(&format!("COPY (SELECT * FROM 'a.parquet') TO 'out' STORED AS {format}")).await.expect("begun");
        collect_partitioned(begun.plan.clone(), house.context.task_ctx()).await.expect("written");
        let receipt = begun.job.receipt(0).await.expect("read").expect("sealed");
        assert_eq!((receipt.tally.rows_in, receipt.tally.rows_out), (300, 300));
        assert_eq!(receipt.model.as_deref(), Some("0123"));
        let [file] = &receipt.files[..] else { panic!("{receipt:?}") };
        let bytes = house.files("staging").into_values().next().expect("staged");
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((file.bytes, file.sha256.as_ref()), (bytes.len() as u64, Some(&digest)));
        assert_eq!(file.footer.is_some(), format == "PARQUET");
        // The same rows in other bytes: the sum is of the rows alone.
        let sum = file.rows_sum.clone().expect("a sum");
        let sorted = format!("COPY (SELECT * FROM 'a.parquet' ORDER BY id DESC) TO 'out' STORED AS {format}");
        let again = house.begin(&sorted).await.expect("begun");
        collect_partitioned(again.plan.clone(), house.context.task_ctx()).await.expect("written");
        let again = again.job.receipt(0).await.expect("read").expect("sealed");
        assert_ne!(again.files[0].sha256, file.sha256, "{format}");
        assert_eq!(again.files[0].rows_sum, Some(sum), "{format}");
    }
}

#[tokio::test]
async fn a_split_that_lacks_rows_of_its_files_is_not_sealed() {
    let house = House::new();
    house.write_parquet("a.parquet", 0, 300, 100);
    let begun = house.begin("COPY (SELECT * FROM 'a.parquet') TO 'out' STORED AS CSV").await.expect("begun");
    let write = begun.plan.downcast_ref::<volley_connect::WriteExec>().expect("a write");
    let mut context = write.context().expect("a job").as_ref().clone();
    assert_eq!(context.inputs.splits[0].rows, Some(300));
    context.inputs.splits[0].rows = Some(301);
    let plan = volley_connect::with_write_context(begun.plan.clone(), &Arc::new(context)).expect("a plan");
    let error = collect_partitioned(plan, house.context.task_ctx()).await.expect_err("refused");
    let (code, message) = told(&error);
    assert_eq!(code, "receipt_invalid");
    assert!(message.contains("its files hold 301 rows, and 300 came in"), "{message}");
}
