//! How scans are cut into splits.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable};
use volley_connect::{PackedPlan, Split, WriteExec};

use crate::harness::House;

fn rows(packed: &PackedPlan) -> Vec<Option<u64>> {
    packed.splits.iter().map(|split| split.rows).collect()
}

/// The plan with its write taken out, which need not be the root: a scalar subquery stands above it.
fn without_write(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let taken_out = plan.transform_up(|node| {
        Ok(match node.downcast_ref::<WriteExec>() {
            Some(write) => Transformed::yes(write.input().clone()),
            None => Transformed::no(node),
        })
    });
    taken_out.expect("a plan").data
}

/// What the splits hold when they are computed one at a time, last first.
async fn ids_apart(house: &House, packed: &PackedPlan) -> Vec<i64> {
    let mut ids = vec![];
    let plan = without_write(packed.plan.clone());
    for split in (0..packed.splits.len()).rev() {
        let stream = plan.execute(split, house.context.task_ctx()).expect("a stream");
        for batch in datafusion::physical_plan::common::collect(stream).await.expect("rows") {
            let column = batch.column(0).as_any().downcast_ref::<datafusion::arrow::array::Int64Array>();
            ids.extend(column.expect("ids").iter().flatten());
        }
    }
    ids.sort_unstable();
    ids
}

async fn check(house: &House, select: &str, expected_rows: &[u64], expected_ids: i64) -> PackedPlan {
    let packed = house.packed(&format!("COPY ({select}) TO 'out' STORED AS PARQUET")).await;
    assert_eq!(packed.plan.output_partitioning().partition_count(), packed.splits.len(), "{select}");
    let expected: Vec<_> = expected_rows.iter().map(|rows| Some(*rows)).collect();
    assert_eq!(rows(&packed), expected, "{select}: {}", displayable(packed.plan.as_ref()).indent(false));
    assert!(packed.independent, "{select}");
    assert_eq!(ids_apart(house, &packed).await, (0..expected_ids).collect::<Vec<_>>(), "{select}");
    packed
}

#[tokio::test]
async fn one_file_is_cut_at_row_groups() {
    let house = House { split_rows: 250, ..House::new() };
    house.write_parquet("a.parquet", 0, 1000, 100);
    let packed = check(&house, "SELECT id FROM 'a.parquet'", &[200, 200, 200, 200, 200], 1000).await;
    let file = &packed.splits[1].files[0];
    assert_eq!(packed.splits[1].files.len(), 1, "row groups side by side are one part");
    assert_eq!(file.range.map(|(start, _)| start), packed.splits[0].files[0].range.map(|(_, end)| end));
    assert_eq!(packed.splits[4].files[0].range.map(|(_, end)| end), Some(file.size));
}

#[tokio::test]
async fn small_files_are_put_together_in_order_of_their_paths() {
    let house = House { split_rows: 250, ..House::new() };
    for n in 0..10 {
        house.write_parquet(&format!("in/{n}.parquet"), n * 100, 100, 100);
    }
    let packed = check(&house, "SELECT id FROM 'in/'", &[200, 200, 200, 200, 200], 1000).await;
    let names: Vec<_> =
        packed.splits.iter().flat_map(|split| &split.files).map(|file| file.path.rsplit('/').next()).collect();
    let expected: Vec<_> = (0..10).map(|n| format!("{n}.parquet")).collect();
    assert_eq!(names.into_iter().flatten().collect::<Vec<_>>(), expected);
    assert!(packed.splits.iter().flat_map(|split| &split.files).all(|file| file.range.is_none()));
}

#[tokio::test]
async fn splits_do_not_depend_on_the_number_of_cores() {
    let house = House { split_rows: 250, ..House::new() };
    for n in 0..7 {
        house.write_parquet(&format!("in/{n}.parquet"), n * 130, 130, 50);
    }
    let sql = "COPY (SELECT id FROM 'in/' WHERE id >= 0) TO 'out' STORED AS PARQUET";
    let mut seen: Vec<Vec<Split>> = vec![];
    for cores in [1, 2, 8] {
        house.run(&format!("SET datafusion.execution.target_partitions = {cores}")).await;
        seen.push(house.packed(sql).await.splits);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert!(seen[0].len() > 3);
}

#[tokio::test]
async fn a_scan_is_cut_below_all_that_keeps_partitions_apart() {
    let house = House { split_rows: 250, ..House::new() };
    house.write_parquet("a.parquet", 0, 500, 100);
    house.write_parquet("b.parquet", 500, 500, 100);
    house.write_parquet("small.parquet", 0, 7, 7);
    let two = [200, 200, 100];
    check(&house, "SELECT id + 0 AS id, upper(name) AS n FROM 'a.parquet' WHERE name <> 'x'", &two, 500).await;
    let small = "(SELECT DISTINCT name FROM 'small.parquet')";
    check(
        &house,
        &format!("SELECT a.id, s.name AS n FROM 'a.parquet' a LEFT JOIN {small} s ON s.name = a.name"),
        &two,
        500,
    )
    .await;
    check(&house, &format!("SELECT a.id FROM 'a.parquet' a JOIN {small} s ON s.name = a.name"), &two, 500).await;
    check(&house, "SELECT a.id FROM 'a.parquet' a CROSS JOIN (SELECT 1) s", &two, 500).await;
    check(&house, "SELECT id FROM 'a.parquet' WHERE id >= (SELECT min(id) FROM 'a.parquet')", &two, 500).await;
    let both = [200, 200, 100, 200, 200, 100];
    check(&house, "SELECT id FROM 'a.parquet' UNION ALL SELECT id FROM 'b.parquet'", &both, 1000).await;
}

#[tokio::test]
async fn what_needs_all_rows_at_once_is_left_alone() {
    let house = House { split_rows: 250, ..House::new() };
    house.write_parquet("in/a.parquet", 0, 500, 100);
    house.write_parquet("in/b.parquet", 500, 500, 100);
    let check = async |select: &str, splits: usize, independent: bool| {
        let packed = house.packed(&format!("COPY ({select}) TO 'out' STORED AS PARQUET")).await;
        let shown = displayable(packed.plan.as_ref()).indent(false).to_string();
        assert_eq!((packed.splits.len(), packed.independent), (splits, independent), "{select}: {shown}");
        assert!(packed.splits.iter().all(|split| split.files.is_empty()));
    };
    check("SELECT id FROM 'in/' ORDER BY id", 1, true).await;
    check("SELECT id FROM 'in/' LIMIT 300", 1, true).await;
    check("SELECT id FROM 'in/a.parquet' LIMIT 300", 1, true).await;
    check("SELECT count(*) AS n FROM 'in/'", 1, true).await;
    check("SELECT name, count(*) AS n FROM 'in/' GROUP BY name", 2, false).await;
    check("SELECT 1 AS n", 1, true).await;
}

#[tokio::test]
async fn a_split_can_be_computed_again_if_all_it_stands_on_is_the_same_each_time() {
    let house = House { split_rows: 250, ..House::new() };
    house.write_parquet("a.parquet", 0, 500, 100);
    house.write_parquet("small.parquet", 0, 50, 50);
    let check = async |select: &str, repeatable: bool| {
        let packed = house.packed(&format!("COPY ({select}) TO 'out' STORED AS PARQUET")).await;
        let shown = displayable(packed.plan.as_ref()).indent(false).to_string();
        assert_eq!(packed.repeatable, repeatable, "{select}: {shown}");
    };
    let beside = |side: &str| format!("SELECT a.id, s.n FROM 'a.parquet' a JOIN ({side}) s ON s.id = a.id");
    check("SELECT id, random() AS r FROM 'a.parquet' WHERE id > 3", true).await;
    check("SELECT id FROM 'a.parquet' LIMIT 300", true).await;
    check(&beside("SELECT id, name AS n FROM 'small.parquet' WHERE id < 40"), true).await;
    check("SELECT id FROM 'a.parquet' WHERE id >= (SELECT min(id) FROM 'small.parquet')", true).await;
    // Each of these gives other rows, or other last digits, the next time.
    check(&beside("SELECT id, name AS n FROM 'small.parquet' LIMIT 10"), false).await;
    check(&beside("SELECT id, name AS n FROM 'small.parquet' WHERE random() < 0.5"), false).await;
    check("SELECT id FROM 'a.parquet' WHERE id >= (SELECT avg(id) FROM 'small.parquet')", false).await;
    check("SELECT name, count(*) AS n FROM 'a.parquet' GROUP BY name", false).await;
}

#[tokio::test]
async fn rows_of_a_split_are_known_where_nothing_leaves_any_out() {
    let house = House { split_rows: 250, ..House::new() };
    house.write_parquet("a.parquet", 0, 500, 100);
    let check = async |select: &str, rows_kept: bool| {
        let packed = house.packed(&format!("COPY ({select}) TO 'out' STORED AS PARQUET")).await;
        assert_eq!(packed.rows_kept, rows_kept, "{select}");
    };
    check("SELECT id + 1 AS n, name FROM 'a.parquet'", true).await;
    check("SELECT id FROM 'a.parquet' WHERE id > 3", false).await;
    check("SELECT a.id FROM 'a.parquet' a CROSS JOIN (SELECT 1) s", false).await;
}

#[tokio::test]
async fn json_lines_are_cut_and_csv_is_not() {
    let house = House::new();
    let lines: String = (0..2000).map(|n| format!("{{\"id\":{n}}}\n")).collect();
    house.write_text("a.json", &lines);
    house.write_text("a.csv", &format!("id\n{}", (0..2000).map(|n| format!("{n}\n")).collect::<String>()));
    let cut = async |table: &str| {
        let plan =
            house.plan(&format!("COPY (SELECT id FROM '{table}') TO 'out' STORED AS PARQUET")).await.expect("a plan");
        volley_connect::pack_splits(plan, &house.context.runtime_env(), 1000, 5000).await.expect("packed")
    };
    let json = cut("a.json").await;
    assert_eq!(json.splits.len(), lines.len().div_ceil(5000));
    assert_eq!(ids_apart(&house, &json).await, (0..2000).collect::<Vec<_>>());
    let csv = cut("a.csv").await;
    assert_eq!(csv.splits.len(), 1);
    assert_eq!(ids_apart(&house, &csv).await, (0..2000).collect::<Vec<_>>());
}

#[tokio::test]
async fn values_of_folders_stay_with_their_files() {
    let house = House { split_rows: 100, ..House::new() };
    house.write_parquet("in/k=1/a.parquet", 0, 300, 100);
    house.write_parquet("in/k=2/a.parquet", 300, 300, 100);
    house.publish("COPY (SELECT id, k FROM 'in/') TO 'out' STORED AS PARQUET").await;
    assert_eq!(house.files("out").len(), 6);
    assert_eq!(house.number("SELECT count(*) FROM 'out/' WHERE k = CASE WHEN id < 300 THEN 1 ELSE 2 END").await, 600);
}
