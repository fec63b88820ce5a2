//! A whole job: COPY of one million generated rows, Parquet to Parquet. They are one split, and so one core's work.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use volley_benches::{Bench, job};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 1_000_000;

fn copy(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = runtime.block_on(Bench::open(folder.path())).expect("an engine");
    runtime.block_on(bench.generate(ROWS)).expect("an input");
    let mut group = criterion.benchmark_group("COPY of 1 M rows, 30 floats");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    for (name, model) in [("scan and write alone", None), ("linear", Some("linear")), ("200 trees", Some("trees"))] {
        let sql = job(model);
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(bench.publish(&sql)).expect("the job is published"));
        });
    }
    group.finish();
}

criterion_group!(benches, copy);
criterion_main!(benches);
