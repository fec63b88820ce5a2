//! Compares our scores with the libraries' own, model by model, in a folder of `tests/data/make_native.py`.
//! The exit status is 1 if a score is off by more than a millionth of itself.

use std::path::PathBuf;
use std::process::ExitCode;

#[path = "../tests/native/comparison.rs"]
mod comparison;

const RELATIVE_MAX: f64 = 1e-6;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: compare_native FOLDER");
        return ExitCode::from(2);
    };
    let models = comparison::compare(&folder);
    for found in &models {
        let share = 100.0 * found.equal as f64 / found.scores.max(1) as f64;
        println!(
            "{}  {:>7} scores  {share:5.1} % equal  {:8.1e}  {}",
            found.model, found.scores, found.relative_max, found.operators
        );
    }
    let off = models.iter().filter(|found| found.relative_max > RELATIVE_MAX).count();
    let worst = models.iter().map(|found| found.relative_max).fold(0.0, f64::max);
    println!("{} models, {off} off by more than {RELATIVE_MAX:e}, at worst {worst:.1e}", models.len());
    if off == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
