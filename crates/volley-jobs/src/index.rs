//! The index of runs and their events: a SQLite database that can be made again from the records.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::event::{Event, Happened};
use crate::row::Job;
use crate::state::State;

const SCHEMA: &str = "
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        key TEXT UNIQUE,
        digest TEXT NOT NULL,
        name TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL,
        begun INTEGER NOT NULL,
        round INTEGER NOT NULL,
        accepted_at TEXT NOT NULL,
        began_at TEXT,
        ended_at TEXT,
        results TEXT NOT NULL,
        problems TEXT NOT NULL
    ) STRICT;
    CREATE INDEX jobs_of_state ON jobs (state);
    CREATE TABLE events (
        job TEXT NOT NULL REFERENCES jobs (id),
        number INTEGER NOT NULL,
        at TEXT NOT NULL,
        what TEXT NOT NULL,
        PRIMARY KEY (job, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE parts (
        part TEXT PRIMARY KEY,
        job TEXT NOT NULL REFERENCES jobs (id)
    ) STRICT, WITHOUT ROWID;
";

const COLUMNS: &str =
    "id, key, digest, name, body, state, begun, round, accepted_at, began_at, ended_at, results, problems";

/// Of the schema. A database of another one is as good as lost.
const VERSION: u32 = 2;

/// The index.
pub(crate) struct Index {
    connection: Mutex<Connection>,
}

/// Where a run stands, without all else that is in its row.
pub(crate) struct Standing {
    pub(crate) id: String,
    pub(crate) state: State,
    pub(crate) round: u32,
}

impl Index {
    /// Opens the database in a file, or makes it.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let connection = Connection::open(file)?;
        // Whoever is told that a job is accepted counts on it, power cuts included.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        connection.pragma_update(None, "busy_timeout", 5000)?;
        let is_new = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, u32>(0))? == 0;
        if is_new {
            connection.execute_batch(SCHEMA)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        match (version, sound.as_str()) {
            (VERSION, "ok") => Ok(Self { connection: Mutex::new(connection) }),
            (VERSION, told) => Err(crate::Error::records(&told)),
            (other, _) => Err(crate::Error::records(&format!("the index has version {other}"))),
        }
    }

    /// Adds a run, and the event that it is there.
    pub(crate) fn add(&self, job: &Job, event: &Event) -> Result<()> {
        let mut connection = self.connection();
        let change = connection.transaction()?;
        change.execute(
            &format!("INSERT INTO jobs ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"),
            params![
                job.id,
                job.key,
                job.digest,
                job.name,
                text(&job.body),
                job.state.to_string(),
                job.begun,
                job.round,
                job.accepted_at,
                job.began_at,
                job.ended_at,
                text(&job.results),
                text(&job.problems),
            ],
        )?;
        add_event(&change, &job.id, event)?;
        Ok(change.commit()?)
    }

    /// Brings a run up to date, and adds an event of it.
    pub(crate) fn update(&self, job: &Job, event: Option<&Event>) -> Result<()> {
        let mut connection = self.connection();
        let change = connection.transaction()?;
        change.execute(
            "UPDATE jobs SET state = ?2, begun = ?3, round = ?4, began_at = ?5, ended_at = ?6, results = ?7,
             problems = ?8 WHERE id = ?1",
            params![
                job.id,
                job.state.to_string(),
                job.begun,
                job.round,
                job.began_at,
                job.ended_at,
                text(&job.results),
                text(&job.problems),
            ],
        )?;
        for part in job.results.iter().filter_map(|result| result.get("job")?.as_str()) {
            change.execute("INSERT OR IGNORE INTO parts (part, job) VALUES (?1, ?2)", params![part, job.id])?;
        }
        if let Some(event) = event {
            add_event(&change, &job.id, event)?;
        }
        Ok(change.commit()?)
    }

    /// Takes a run out, with all that was told of it.
    pub(crate) fn forget(&self, id: &str) -> Result<()> {
        let mut connection = self.connection();
        let change = connection.transaction()?;
        for table in ["events WHERE job", "parts WHERE job", "jobs WHERE id"] {
            change.execute(&format!("DELETE FROM {table} = ?1"), params![id])?;
        }
        Ok(change.commit()?)
    }

    /// Adds an event alone.
    pub(crate) fn tell(&self, id: &str, event: &Event) -> Result<()> {
        add_event(&self.connection(), id, event)
    }

    /// A run, by its own name or by that of a job of the engine in it that is published.
    pub(crate) fn job(&self, id: &str) -> Result<Option<Job>> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1 OR id = (SELECT job FROM parts WHERE part = ?1)");
        Ok(self.connection().query_row(&sql, params![id], |row| Ok(job(row))).optional()?)
    }

    /// The run that a key stands for.
    pub(crate) fn job_of_key(&self, key: &str) -> Result<Option<Job>> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE key = ?1");
        Ok(self.connection().query_row(&sql, params![key], |row| Ok(job(row))).optional()?)
    }

    /// The newest runs, in order of age.
    pub(crate) fn newest(&self, max: u32) -> Result<Vec<Job>> {
        let sql =
            format!("SELECT * FROM (SELECT {COLUMNS}, number FROM jobs ORDER BY number DESC LIMIT ?1) ORDER BY number");
        let connection = self.connection();
        let mut statement = connection.prepare(&sql)?;
        let jobs = statement.query_map(params![max], |row| Ok(job(row)))?;
        Ok(jobs.collect::<rusqlite::Result<_>>()?)
    }

    /// Where all runs stand, in order of age.
    pub(crate) fn standings(&self) -> Result<Vec<Standing>> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT id, state, round FROM jobs ORDER BY number")?;
        let standings = statement.query_map([], |row| {
            Ok(Standing { id: row.get(0)?, state: state(&row.get::<_, String>(1)?), round: row.get(2)? })
        })?;
        Ok(standings.collect::<rusqlite::Result<_>>()?)
    }

    /// The events of a run after a number, in order.
    pub(crate) fn events(&self, id: &str, after: u64) -> Result<Vec<Event>> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT number, at, what FROM events WHERE job = ?1 AND number > ?2 ORDER BY number")?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let events = statement.query_map(params![id, after], |row| {
            let what = row.get::<_, String>(2)?;
            let what = serde_json::from_str(&what).unwrap_or(Happened::Note { text: what });
            let number = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
            Ok(Event { number: Some(number), at: row.get(1)?, what })
        })?;
        Ok(events.collect::<rusqlite::Result<_>>()?)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add_event(connection: &Connection, id: &str, event: &Event) -> Result<()> {
    connection.execute(
        "INSERT INTO events (job, number, at, what)
         SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM events WHERE job = ?1",
        params![id, event.at, text(&event.what)],
    )?;
    Ok(())
}

/// A row of [`COLUMNS`]. What an index of another version holds that is not understood is left out: the facts are
/// in the records.
fn job(row: &Row<'_>) -> Job {
    let own = |column: &str| row.get::<_, String>(column).unwrap_or_default();
    let maybe = |column: &str| row.get::<_, Option<String>>(column).unwrap_or_default();
    Job {
        id: own("id"),
        key: maybe("key"),
        digest: own("digest"),
        name: own("name"),
        body: parsed(&own("body")),
        state: state(&own("state")),
        begun: row.get("begun").unwrap_or_default(),
        round: row.get("round").unwrap_or_default(),
        accepted_at: own("accepted_at"),
        began_at: maybe("began_at"),
        ended_at: maybe("ended_at"),
        results: parsed(&own("results")),
        problems: parsed(&own("problems")),
    }
}

fn state(text: &str) -> State {
    text.parse().unwrap_or(State::Accepted)
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs have JSON")
}

fn parsed<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}
