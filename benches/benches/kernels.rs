//! One slice of rows, by itself: the way from columns to a tensor and back, and through each kind of model.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use volley_benches::{columns, scorer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 8192;

fn slice(criterion: &mut Criterion) {
    let columns = columns(ROWS);
    let mut group = criterion.benchmark_group("slice of 8192 rows, 30 floats");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, model) in [("conversion alone", "first_column"), ("linear", "linear"), ("200 trees", "trees")] {
        let (scorer, binding) = scorer(model).expect("the models are in the repository");
        group.bench_function(name, |bencher| {
            bencher.iter(|| scorer.score(&binding, &columns, ROWS).expect("the model scores its inputs"));
        });
    }
    group.finish();
}

criterion_group!(benches, slice);
criterion_main!(benches);
