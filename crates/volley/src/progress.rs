//! How far a running job is: a bar on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

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
    if io::stderr().is_terminal() {
        let bar = bar();
        // Dropped before the result is printed: the bar is gone by then.
        let note = |text: &str| bar.suspend(|| say(text));
        watch(progress, work, BAR_EVERY, |moment| draw(&bar, moment), note).await
    } else {
        watch(progress, work, LINE_EVERY, |moment| say(&told(moment)), say).await
    }
}

fn say(line: &str) {
    // A log that cannot be written is no reason to stop a job.
    let _ = writeln!(io::stderr(), "{line}");
}

async fn watch<T>(
    progress: &Progress,
    work: impl Future<Output = T>,
    every: Duration,
    mut show: impl FnMut(&Moment),
    note: impl Fn(&str),
) -> T {
    let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut work = std::pin::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            text = progress.next_note() => note(&text),
            _ = ticks.tick() => if let Some(moment) = progress.moment() { show(&moment) },
        }
    };
    while let Some(text) = progress.take_note() {
        note(&text);
    }
    done
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:30}] {msg}").expect("the template is a constant");
    let bar = ProgressBar::new(BAR_STEPS).with_style(style.progress_chars("=> "));
    bar.with_finish(ProgressFinish::AndClear)
}

fn draw(bar: &ProgressBar, moment: &Moment) {
    bar.set_position((share(moment) * BAR_STEPS as f64) as u64);
    bar.set_message(told(moment));
}

/// The share of the work that is done, from 0 to 1. A filter may leave fewer rows than the inputs hold, so
/// splits that are done count too.
fn share(moment: &Moment) -> f64 {
    let of = |done: u64, total: u64| if total == 0 { 0.0 } else { done as f64 / total as f64 };
    let by_rows = moment.rows_total.map_or(0.0, |total| of(moment.rows, total));
    by_rows.max(of(moment.splits_done as u64, moment.splits_total as u64)).min(1.0)
}

/// `1,200,000 of 5,000,000 rows, 400,000 rows/s, 1 of 5 splits, 00:00:09 left`.
fn told(moment: &Moment) -> String {
    let rows = HumanCount(moment.rows);
    let rows = match moment.rows_total {
        Some(total) => format!("{rows} of {} rows", HumanCount(total)),
        None => format!("{rows} rows"),
    };
    let speed = HumanCount(rate(moment.rows, moment.elapsed.as_secs_f64()));
    let splits = format!("{} of {} splits", moment.splits_done, moment.splits_total);
    match left(moment) {
        Some(left) => format!("{rows}, {speed} rows/s, {splits}, {} left", FormattedDuration(left)),
        None => format!("{rows}, {speed} rows/s, {splits}"),
    }
}

/// Rows a second.
pub fn rate(rows: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (rows as f64 / seconds).round() as u64 } else { 0 }
}

/// The time that is left if the rest goes as fast; none before there is anything to go by.
fn left(moment: &Moment) -> Option<Duration> {
    let share = share(moment);
    let enough = share > 0.001;
    enough.then(|| moment.elapsed.mul_f64((1.0 - share) / share))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(rows: u64, rows_total: Option<u64>, splits_done: usize) -> Moment {
        Moment { rows, rows_total, splits_done, splits_total: 4, elapsed: Duration::from_secs(10) }
    }

    #[test]
    fn a_moment_tells_rows_speed_splits_and_time_left() {
        let line = told(&moment(1_000_000, Some(4_000_000), 1));
        assert_eq!(line, "1,000,000 of 4,000,000 rows, 100,000 rows/s, 1 of 4 splits, 00:00:30 left");
    }

    #[test]
    fn nothing_is_promised_before_there_is_anything_to_go_by() {
        assert_eq!(told(&moment(0, None, 0)), "0 rows, 0 rows/s, 0 of 4 splits");
    }

    #[test]
    fn a_filter_that_leaves_few_rows_does_not_hold_the_bar_back() {
        assert_eq!(share(&moment(10, Some(1_000), 3)), 0.75);
    }

    #[test]
    fn an_output_larger_than_its_input_stays_within_the_bar() {
        assert_eq!(share(&moment(2_000, Some(1_000), 1)), 1.0);
    }
}
