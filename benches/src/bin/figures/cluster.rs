//! A server and executors, real processes beside this one: what a cluster costs, how it scales, and how soon it answers
//! and stops.

mod grounds;
mod parts;

use std::time::{Duration, Instant};

use anyhow::Result;
use volley_benches::FEATURES;

use grounds::{Grounds, Up};

/// How often a latency is measured.
const CALLS: usize = 200;
const CANCELS: usize = 40;

/// Measures the parts that are named, or all of them.
pub fn measure(parts: &[String], rows: usize, rounds: usize) -> Result<()> {
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wanted("price") {
        price(rows, rounds)?;
    }
    if wanted("scale") {
        scale(rows, rounds)?;
    }
    if wanted("latency") {
        latency()?;
    }
    if wanted("cancel") {
        cancel(rows)?;
    }
    if wanted("files") {
        parts::files()?;
    }
    if wanted("splits") {
        parts::splits()?;
    }
    Ok(())
}

/// The same jobs in process and on a server with one executor of two cores.
fn price(rows: usize, rounds: usize) -> Result<()> {
    let grounds = Grounds::with_rows(rows)?;
    let up = Up::start(&grounds, 1, 2)?;
    println!("{rows} rows of 30 floats, Parquet to Parquet, two cores, median of {rounds}");
    for (name, model) in [("linear", "linear"), ("200 trees of 63 leaves", "trees")] {
        let sql = grounds.job(model);
        let (mut here, mut there) = (vec![], vec![]);
        for _ in 0..rounds {
            here.push(grounds.run_here(&sql)?);
            there.push(up.run(&sql)?);
        }
        let (here, there) = (median(&mut here), median(&mut there));
        println!("{name:<24} {here:>6.2} s in process, {there:>6.2} s on the cluster: {:.2}", here / there);
    }
    Ok(())
}

/// One job on more and more executors of one core.
fn scale(rows: usize, rounds: usize) -> Result<()> {
    let grounds = Grounds::with_rows(rows)?;
    let sql = grounds.job("trees");
    println!("{rows} rows, 200 trees, executors of one core, median of {rounds}");
    let mut alone = 0.0;
    for executors in [1, 2, 4] {
        let up = Up::start(&grounds, executors, 1)?;
        let mut taken = (0..rounds).map(|_| up.run(&sql)).collect::<Result<Vec<_>>>()?;
        let rate = rows as f64 / median(&mut taken);
        if executors == 1 {
            alone = rate;
        }
        println!(
            "{executors} executors {rate:>10.0} rows/s, {:.2} of what so many would do",
            rate / alone / executors as f64
        );
    }
    Ok(())
}

/// How soon a statement is answered, over one connection.
fn latency() -> Result<()> {
    let grounds = Grounds::with_rows(1000)?;
    let up = Up::start(&grounds, 1, 2)?;
    let inputs: Vec<_> = (0..FEATURES).map(|at| format!("{at}.5::float")).collect();
    let predict = format!("SELECT predict('./linear.onnx', {}) AS score", inputs.join(", "));
    for (name, sql) in [("SELECT 1", "SELECT 1"), ("predict() of one row", predict.as_str())] {
        let mut client = up.client()?;
        // The first one loads the model.
        client.statement(sql)?;
        let mut taken = vec![];
        for _ in 0..CALLS {
            let began = Instant::now();
            client.statement(sql)?;
            taken.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        let (half, most) = (part(&mut taken, 0.5), part(&mut taken, 0.99));
        println!("{name:<24} {half:>6.2} ms p50, {most:>6.2} ms p99 of {CALLS} calls");
    }
    Ok(())
}

/// How long executors compute on after a job is canceled.
fn cancel(rows: usize) -> Result<()> {
    let grounds = Grounds::with_rows(rows)?;
    let up = Up::start(&grounds, 2, 1)?;
    let mut client = up.client()?;
    for (name, sql) in [("a scan scored by 200 trees", grounds.job("trees")), ("a cross join", grounds.cross_join())] {
        let mut taken = vec![];
        for round in 0..CANCELS {
            let job = client.submit(&sql)?;
            // Somewhere in the first two seconds of it.
            while up.cpu()? < Duration::from_millis(20) {}
            std::thread::sleep(Duration::from_millis(37 * round as u64 % 1500));
            let began = Instant::now();
            client.cancel(&job)?;
            let mut still = began;
            // Idle is who computes less than a tenth of a fifth of a second.
            while Instant::now() - still < Duration::from_millis(400) {
                if up.cpu()? > Duration::from_millis(20) {
                    still = Instant::now();
                }
            }
            taken.push((still - began).as_secs_f64());
        }
        let (half, most) = (part(&mut taken, 0.5), part(&mut taken, 0.99));
        println!("canceled: {name:<28} {half:>6.2} s p50, {most:>6.2} s p99 of {CANCELS}");
    }
    Ok(())
}

/// The middle one.
fn median(numbers: &mut [f64]) -> f64 {
    part(numbers, 0.5)
}

/// The number that such a part of all is below.
fn part(numbers: &mut [f64], part: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[((numbers.len() - 1) as f64 * part).round() as usize]
}
