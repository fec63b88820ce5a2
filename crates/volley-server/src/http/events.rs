//! The events of a job as they come: server-sent events, from wherever the reader was.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event as SseEvent, KeepAlive};
use futures::{Stream, stream};
use serde_json::json;
use volley_jobs::Event;

use super::Shared;
use super::problem::Answer;

/// Between two signs of life: shorter than proxies wait.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

pub(super) async fn events(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    let after = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    let follower = shared.gateway.follow(&id, after)?;
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(sent(&event)), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}

/// Only what is kept has an id: who comes back with the last one gets all of it that came after.
fn sent(event: &Event) -> SseEvent {
    let mut data = event.what.data();
    data["at"] = json!(event.at);
    let sent = SseEvent::default().event(event.what.name()).data(data.to_string());
    match event.number {
        Some(number) => sent.id(number.to_string()),
        None => sent,
    }
}
