//! What must hold at every moment, looked at after every change of the store.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::cast::Play;
use super::store::{DESTINATION, Object};
use crate::Mode;

type Objects = BTreeMap<String, Object>;

/// A row and the folder of the file that holds it, sorted.
pub(super) type Rows = Vec<(String, String)>;

#[derive(Deserialize)]
struct Marker {
    job: String,
}

/// A reader that honours `_SUCCESS` and looks after every call, and an auditor of the records.
#[derive(Clone, Default)]
pub(super) struct Watch {
    pub(super) violations: BTreeSet<String>,
    started: bool,
    /// A committed job is not yet published: the moment to disturb.
    pub(super) is_publishing: bool,
    plays: Vec<Play>,
    marker: Option<String>,
    /// The jobs whose marker was seen, the last one last.
    versions: Vec<(String, Rows)>,
    before: Rows,
}

impl Watch {
    pub(super) fn expect(&mut self, play: Play) {
        self.plays.push(play);
    }

    pub(super) fn is_expected(&self, job: crate::JobId) -> bool {
        self.plays.iter().any(|play| play.id == job)
    }

    /// From here on, what lies there is what was there before.
    pub(super) fn start(&mut self, objects: &Objects) {
        self.started = true;
        self.before = rows(objects);
        self.versions.clear();
    }

    pub(super) fn found(&mut self, violation: impl Into<String>) {
        self.violations.insert(violation.into());
    }

    pub(super) fn after_write(&mut self, objects: &Objects, path: &str, before: Option<&Object>) {
        let is_record = path.starts_with("s1/") || path.starts_with("s2/");
        if is_record && before.is_some_and(|before| before.body != objects[path].body) {
            let kind = path.rsplit('/').next().unwrap_or_default();
            let kind = kind.trim_start_matches(|c: char| c.is_ascii_digit());
            self.found(format!("a record was changed: {kind}"));
        }
        if self.started && path.ends_with("/outcome.json") {
            self.is_publishing = String::from_utf8_lossy(&objects[path].body).contains("\"committed\"");
        }
        if path.ends_with("/published.json") {
            self.is_publishing = false;
        }
        if path.ends_with("/_SUCCESS") {
            let marker = serde_json::from_slice(&objects[path].body).map(|marker: Marker| marker.job);
            self.marker = marker.ok();
        }
        self.look(objects, path);
    }

    pub(super) fn after_removal(&mut self, objects: &Objects, path: &str, gone: &Object) {
        if path.ends_with(".turn") && !self.is_over(objects, gone) {
            self.found("the turn of a job that is not over was taken away");
        }
        if path.ends_with("/_SUCCESS") {
            self.marker = None;
        }
        self.look(objects, path);
    }

    /// Whether the job whose turn this was needs it no more.
    fn is_over(&self, objects: &Objects, turn: &Object) -> bool {
        let text = String::from_utf8_lossy(&turn.body);
        let Some(play) = self.plays.iter().find(|play| text.contains(&play.id.to_string())) else { return true };
        let record = |name: &str| objects.contains_key(&format!("{}/jobs/{}/{name}", play.state, play.id));
        record("published.json") || record("outcome.json") && !is_committed(objects, play)
    }

    fn look(&mut self, objects: &Objects, path: &str) {
        if !self.started || !path.starts_with(DESTINATION) {
            return;
        }
        let seen = rows(objects);
        let committed: Vec<bool> = self.plays.iter().map(|play| is_committed(objects, play)).collect();
        let of_undecided = |row: &String| {
            let mut plays = self.plays.iter().zip(&committed);
            plays.any(|(play, committed)| !committed && row.starts_with(play.tag))
        };
        if seen.iter().any(|(_, row)| of_undecided(row)) {
            self.found("rows are visible before their job is committed");
        }
        if committed.iter().all(|committed| !committed) && seen != self.before {
            self.found("the destination changed before a job was committed");
        }
        if let Some(job) = self.marker.clone() {
            self.check_marked(&job, seen);
        }
    }

    fn check_marked(&mut self, job: &str, seen: Rows) {
        match self.versions.iter().rposition(|(known, _)| known == job) {
            Some(at) if at + 1 < self.versions.len() => self.found("the marker of an earlier version came back"),
            Some(at) if self.versions[at].1 != seen => {
                self.found("torn: the marker lies beside other rows than its own")
            }
            Some(_) => {}
            None => match self.plays.iter().find(|play| play.id.to_string() == job) {
                Some(play) => self.check_new(job, play.after(self.last()), seen),
                None if self.before == seen => {}
                None => self.found("torn: the marker of before lies beside other rows than those of before"),
            },
        }
    }

    fn check_new(&mut self, job: &str, expected: Rows, seen: Rows) {
        if expected != seen {
            let told = format!("a job's marker lies beside {} rows instead of {}", seen.len(), expected.len());
            self.found(format!("lost or doubled: {told}"));
        }
        self.versions.push((job.to_owned(), expected));
    }

    fn last(&self) -> &Rows {
        self.versions.last().map_or(&self.before, |(_, rows)| rows)
    }

    /// What must hold when all is done.
    pub(super) fn check_end(&mut self, objects: &Objects) {
        let last = self.last().clone();
        if rows(objects) != last {
            self.found("at the end the destination does not hold the rows of its last version");
        }
        for play in self.plays.clone() {
            self.check_end_of(objects, &play);
        }
        if objects.keys().any(|key| key.ends_with(".turn")) {
            self.found("a turn was left behind");
        }
    }

    fn check_end_of(&mut self, objects: &Objects, play: &Play) {
        let record = |name: &str| objects.contains_key(&format!("{}/jobs/{}/{name}", play.state, play.id));
        let was_seen = self.versions.iter().any(|(job, _)| *job == play.id.to_string());
        match (record("outcome.json"), is_committed(objects, play)) {
            (false, _) => self.found("a job was never decided"),
            (_, true) if !record("published.json") => self.found("a committed job was never published"),
            (_, true) if !was_seen => self.found("a committed job never had its marker"),
            (_, false) if was_seen => self.found("an aborted job had its marker"),
            _ => {}
        }
    }
}

/// Every row at the destination.
pub(super) fn rows(objects: &Objects) -> Rows {
    let below = objects.range(format!("{DESTINATION}/")..format!("{DESTINATION}0"));
    let parts = below.filter(|(key, _)| key.contains("/part-"));
    let mut rows: Rows = parts.flat_map(|(key, object)| rows_of(key, &object.body)).collect();
    rows.sort();
    rows
}

fn rows_of(key: &str, body: &[u8]) -> Rows {
    let folder = key[DESTINATION.len() + 1..].rsplit_once('/').map_or("", |(folder, _)| folder);
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| (folder.to_owned(), line.to_owned())).collect()
}

fn is_committed(objects: &Objects, play: &Play) -> bool {
    let outcome = objects.get(&format!("{}/jobs/{}/outcome.json", play.state, play.id));
    outcome.is_some_and(|outcome| String::from_utf8_lossy(&outcome.body).contains("\"committed\""))
}

impl Play {
    /// What lies at the destination after this job, if that lay there before.
    fn after(&self, before: &Rows) -> Rows {
        let mine = self.rows();
        let folders: BTreeSet<&String> = mine.iter().map(|(folder, _)| folder).collect();
        let stays = |folder: &String| match self.mode {
            Mode::Overwrite => false,
            Mode::OverwritePartitions => !folders.contains(folder),
            _ => true,
        };
        let mut rows: Rows = before.iter().filter(|(folder, _)| stays(folder)).cloned().chain(mine.clone()).collect();
        rows.sort();
        rows
    }
}
