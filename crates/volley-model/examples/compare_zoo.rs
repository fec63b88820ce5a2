//! Scores a folder of models as `tests/zoo/make_zoo.py` lays it out, and says which give what ONNX Runtime gave.
//!
//! `cargo run -p volley-model --example compare_zoo -- FOLDER [NAME]...`

use std::path::Path;
use std::process::ExitCode;

#[path = "../tests/zoo/comparison.rs"]
mod comparison;

use comparison::{Difference, Zoo};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("which folder? compare_zoo FOLDER [NAME]...");
        return ExitCode::from(2);
    };
    let (zoo, names) = (Zoo::open(Path::new(&folder)), arguments.collect::<Vec<_>>());
    let (mut right, mut refused, mut wrong) = (0, 0, 0);
    for entry in zoo.entries.iter().filter(|entry| names.is_empty() || names.contains(&entry.name)) {
        let about = format!("{} ({}, {})", entry.name, entry.kind, entry.made_with);
        match zoo.compare(entry) {
            Ok(largest) => {
                right += 1;
                println!("right    {about}: at most {largest:.1e} apart");
            }
            Err(Difference::Refused(error)) => {
                refused += 1;
                println!("refused  {about}: {error} [{}]", error.code());
            }
            Err(Difference::Wrong(reason)) => {
                wrong += 1;
                println!("WRONG    {about}: {reason}");
            }
        }
    }
    println!("{right} right, {refused} refused, {wrong} wrong");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
