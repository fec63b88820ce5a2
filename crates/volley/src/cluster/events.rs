//! Server-sent events, out of the bytes of an answer as they come.

use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number, if it has one.
    pub id: Option<String>,
    /// The word for it.
    pub name: String,
    /// What it says.
    pub data: Value,
}

/// Puts events together.
#[derive(Debug, Default)]
pub struct Events {
    waiting: Vec<u8>,
}

impl Events {
    /// The events that are whole once these bytes have come.
    pub fn add(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.waiting.extend_from_slice(bytes);
        let mut events = vec![];
        // An empty line ends an event.
        while let Some(end) = self.waiting.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.waiting.drain(..end + 2).collect();
            events.extend(event(&String::from_utf8_lossy(&block)));
        }
        events
    }
}

/// An event; none for a sign of life.
fn event(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (None, String::new(), String::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = Some(value.to_owned()),
            "event" => value.clone_into(&mut name),
            "data" => data.push_str(value),
            _ => {}
        }
    }
    (!name.is_empty()).then(|| Event { id, name, data: serde_json::from_str(&data).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_however_their_bytes_come() {
        let text = ": alive\n\nevent: note\ndata: {\"text\":\"hé\"}\nid: 7\n\nevent: progress\ndata: {\"rows\":1}\n\nevent: no";
        for size in [1, 3, 1000] {
            let mut events = Events::default();
            let found: Vec<_> = text.as_bytes().chunks(size).flat_map(|bytes| events.add(bytes)).collect();
            let told: Vec<_> = found.iter().map(|event| (event.id.as_deref(), event.name.as_str())).collect();
            assert_eq!(told, [(Some("7"), "note"), (None, "progress")], "{size}");
            assert_eq!(found[0].data["text"], "hé");
        }
    }
}
