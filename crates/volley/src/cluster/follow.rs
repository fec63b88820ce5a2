//! Following a job of a server to its end, as if it ran here.

use std::time::{Duration, Instant};

use serde_json::Value;
use volley_engine::{Moment, Summary};
use volley_server::Problem;

use super::client::Client;
use super::events::{Event, Events};
use crate::outcome;
use crate::progress::Display;
use crate::report::Failure;

/// How long a server may be away: longer than one takes to come back.
const AWAY_MAX: Duration = Duration::from_secs(120);
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// Shows what happens to a job until it is over; what it publishes is printed, and given back. Once it is `stopped`, the job is left
/// running.
///
/// Errors: those of the job, `canceled`, `left_running`, `server_unreachable`.
pub async fn follow(
    client: &Client,
    id: &str,
    json: bool,
    stopped: impl Future<Output = ()>,
) -> Result<Vec<Summary>, Failure> {
    let mut followed = Followed { display: Display::new(), json, last: None, printed: vec![], end: None };
    tokio::select! {
        ended = followed.follow_to_the_end(client, id) => ended?,
        () = stopped => {
            drop(followed);
            let url = client.url();
            let message = format!(
                "job {id} goes on: `volley jobs watch {id} --cluster {url}` shows it, `volley jobs cancel {id} --cluster {url}` ends it"
            );
            return Err(Failure::new("left_running", message));
        }
    }
    match followed.end {
        Some((state, _)) if state == "succeeded" => Ok(followed.printed),
        Some((state, _)) if state == "canceled" => Err(Failure::new("canceled", format!("job {id} was canceled"))),
        Some((_, problems)) => Err(Failure::of_server(problems)),
        None => unreachable!("it was followed to its end"),
    }
}

struct Followed {
    display: Display,
    json: bool,
    /// The last event that has a number.
    last: Option<String>,
    /// The results that were printed.
    printed: Vec<Summary>,
    /// The last state it came into, if that is an end, and why it failed.
    end: Option<(String, Vec<Problem>)>,
}

impl Followed {
    async fn follow_to_the_end(&mut self, client: &Client, id: &str) -> Result<(), Failure> {
        let mut since = Instant::now();
        loop {
            match self.once(client, id).await {
                Ok(()) if self.end.is_some() => return Ok(()),
                // The server stops, or a proxy between us.
                Ok(()) => since = Instant::now(),
                Err(Broken::ByServer(failure)) => return Err(failure),
                Err(Broken::ByNetwork(failure)) if since.elapsed() > AWAY_MAX => return Err(failure),
                Err(Broken::ByNetwork(_)) => {}
                Err(Broken::AfterEvents) => since = Instant::now(),
            }
            tokio::time::sleep(AWAY_PAUSE).await;
        }
    }

    /// Takes events in for as long as they come.
    async fn once(&mut self, client: &Client, id: &str) -> Result<(), Broken> {
        let path = format!("v1/jobs/{id}/events");
        let mut response = client.events(&path, self.last.as_deref()).await.map_err(Broken::of)?;
        let mut events = Events::default();
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => events.add(&bytes).into_iter().for_each(|event| self.take(event)),
                Ok(None) => return Ok(()),
                Err(_) => return Err(Broken::AfterEvents),
            }
        }
    }

    fn take(&mut self, event: Event) {
        self.last = event.id.or(self.last.take());
        let data = event.data;
        match event.name.as_str() {
            "state" => {
                let state = text(&data["state"]);
                let problems = serde_json::from_value(data["problems"].clone()).unwrap_or_default();
                let is_end = ["succeeded", "failed", "canceled"].contains(&state.as_str());
                self.end = is_end.then_some((state, problems));
            }
            "note" => self.display.note(&text(&data["text"])),
            "progress" => self.display.moment(&moment(&data["progress"])),
            "published" => self.print(summary(&data["result"])),
            _ => {}
        }
    }

    fn print(&mut self, summary: Summary) {
        if self.printed.iter().all(|printed| printed.job != summary.job) {
            // The bar is gone before the result is there.
            self.display = Display::new();
            outcome::print(&summary, self.json);
            self.printed.push(summary);
        }
    }
}

/// Why events no longer come.
enum Broken {
    ByServer(Failure),
    ByNetwork(Failure),
    AfterEvents,
}

impl Broken {
    fn of(failure: Failure) -> Self {
        match failure.code() {
            Some("server_unreachable" | "server_stopping") => Self::ByNetwork(failure),
            _ => Self::ByServer(failure),
        }
    }
}

/// How far a job is, as the server tells it.
fn moment(progress: &Value) -> Moment {
    let number = |name: &str| progress[name].as_u64();
    Moment {
        rows: number("rows").unwrap_or_default(),
        rows_total: number("rows_total"),
        splits_done: number("splits_done").unwrap_or_default() as usize,
        splits_total: number("splits_total").unwrap_or_default() as usize,
        elapsed: Duration::try_from_secs_f64(progress["seconds"].as_f64().unwrap_or_default()).unwrap_or_default(),
        executors: serde_json::from_value(progress["executors"].clone()).unwrap_or_default(),
    }
}

/// What a statement published, as the server tells it.
pub fn summary(result: &Value) -> Summary {
    serde_json::from_value(result.clone()).unwrap_or_default()
}

/// A text of an object, empty where there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
