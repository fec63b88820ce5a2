//! How far a running job is: a bar on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, HumanCount, ProgressBar, ProgressFinish, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval_at};
use volley_engine::{Moment, Progress};

/// How often a bar is drawn anew.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often a line is written: logs should stay readable after hours.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The bar counts in steps of its own, as it may go by rows or by splits.
const BAR_STEPS: u64 = 1_000;

/// Does the work, and shows on standard error how far it is.
pub async fn watched<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
    let mut display = Display::new();
    let every = display.every();
    let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut work = std::pin::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            text = progress.next_note() => display.note(&text),
            _ = ticks.tick() => if let Some(moment) = progress.moment() { display.moment(&moment) },
        }
    };
    while let Some(text) = progress.take_note() {
        display.note(&text);
    }
    // Dropped before the result is printed: the bar is gone by then.
    done
}

/// Shows on standard error how far something is.
pub struct Display {
    /// On a terminal.
    bar: Option<ProgressBar>,
    shown: Instant,
}

impl Display {
    /// A bar on a terminal, plain lines elsewhere.
    pub fn new() -> Self {
        Self { bar: io::stderr().is_terminal().then(bar), shown: Instant::now() }
    }

    fn every(&self) -> Duration {
        if self.bar.is_some() { BAR_EVERY } else { LINE_EVERY }
    }

    /// Shows how far it is, unless that was shown a moment ago.
    pub fn moment(&mut self, moment: &Moment) {
        // Who asks at the right times is not to miss one by a hair.
        if self.shown.elapsed() < self.every().mul_f64(0.9) {
            return;
        }
        self.shown = Instant::now();
        match &self.bar {
            Some(bar) => draw(bar, moment),
            None => say(&told(moment)),
        }
    }

    /// Shows a line.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

fn say(line: &str) {
    // A log that cannot be written is no reason to stop a job.
    let _ = writeln!(io::stderr(), "{line}");
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:30}] {msg}").expect("the template is a constant");
    let bar = ProgressBar::new(BAR_STEPS).with_style(style.progress_chars("=> "));
    bar.with_finish(ProgressFinish::AndClear)
}

fn draw(bar: &ProgressBar, moment: &Moment) {
    bar.set_position((moment.share() * BAR_STEPS as f64) as u64);
    bar.set_message(told(moment));
}

/// `1,200,000 of 5,000,000 rows, 400,000 rows/s, 1 of 5 splits, 00:00:09 left`.
fn told(moment: &Moment) -> String {
    let rows = HumanCount(moment.rows);
    let rows = match moment.rows_total {
        Some(total) => format!("{rows} of {} rows", HumanCount(total)),
        None => format!("{rows} rows"),
    };
    let speed = HumanCount(moment.rows_per_second());
    let mut splits = format!("{} of {} splits", moment.splits_done, moment.splits_total);
    match moment.executors.len() {
        0 => {}
        1 => splits += " on one executor",
        executors => splits += &format!(" on {executors} executors"),
    }
    match moment.left() {
        Some(left) => format!("{rows}, {speed} rows/s, {splits}, {} left", FormattedDuration(left)),
        None => format!("{rows}, {speed} rows/s, {splits}"),
    }
}

/// Rows a second.
pub fn rate(rows: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (rows as f64 / seconds).round() as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use volley_engine::AtWork;

    use super::*;

    fn moment(rows: u64, rows_total: Option<u64>, splits_done: usize) -> Moment {
        Moment { rows, rows_total, splits_done, splits_total: 4, elapsed: Duration::from_secs(10), executors: vec![] }
    }

    #[test]
    fn a_moment_tells_rows_speed_splits_and_time_left() {
        let line = told(&moment(1_000_000, Some(4_000_000), 1));
        assert_eq!(line, "1,000,000 of 4,000,000 rows, 100,000 rows/s, 1 of 4 splits, 00:00:30 left");
    }

    #[test]
    fn who_is_at_work_elsewhere_is_counted() {
        let on = |executor: &str| AtWork { executor: executor.to_owned(), splits: 1, rows: 0 };
        let moment = Moment { executors: vec![on("a"), on("b")], ..moment(0, None, 0) };
        assert_eq!(told(&moment), "0 rows, 0 rows/s, 0 of 4 splits on 2 executors");
    }

    #[test]
    fn nothing_is_promised_before_there_is_anything_to_go_by() {
        assert_eq!(told(&moment(0, None, 0)), "0 rows, 0 rows/s, 0 of 4 splits");
    }

    #[test]
    fn a_filter_that_leaves_few_rows_does_not_hold_the_bar_back() {
        assert_eq!(moment(10, Some(1_000), 3).share(), 0.75);
    }

    #[test]
    fn an_output_larger_than_its_input_stays_within_the_bar() {
        assert_eq!(moment(2_000, Some(1_000), 1).share(), 1.0);
    }
}
