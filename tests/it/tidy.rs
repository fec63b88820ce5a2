//! Keeps the tree as `docs/style.md` wants it: what a reviewer would otherwise have to say again and again.

use crate::tree::{rust_files, text_files};

const LINES_MAX: usize = 500;

/// Names that say nothing: a type lives with its owner.
const VAGUE: [&str; 8] = ["common", "helper", "helpers", "misc", "shared", "util", "utils", "mod"];

/// The parts are put together here, so that this file does not hold what it looks for.
const UNFINISHED: [&str; 6] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[", "ignore"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
];

/// Places that exist on one machine only.
const MACHINE: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/opt/", "wheels"),
];

/// Ways to name another package index than the public ones.
const INDEXES: [&str; 4] =
    [concat!("index-", "url"), concat!("find-", "links"), concat!("trusted-", "host"), concat!("replace-", "with")];

const PUBLIC_INDEX: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// Fails with every offence, one a line.
fn check(offences: impl IntoIterator<Item = String>) {
    let offences: Vec<_> = offences.into_iter().collect();
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

fn lines_with<'a>(path: &'a str, text: &'a str, words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    text.lines().enumerate().flat_map(move |(index, line)| {
        let found = words.iter().filter(move |word| line.contains(**word));
        found.map(move |word| format!("{path}:{}: holds `{word}`", index + 1))
    })
}

#[test]
fn a_file_opens_with_a_sentence_on_what_it_holds() {
    let silent = rust_files().into_iter().filter(|file| !file.text.starts_with("//! "));
    check(silent.map(|file| format!("{}: does not open with `//! `", file.path)));
}

#[test]
fn a_file_is_named_for_what_it_holds() {
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let vague = rust_files().into_iter().filter(|file| VAGUE.contains(&stem(file.name()).as_str()));
    check(vague.map(|file| format!("{}: the name says nothing of what is inside", file.path)));
}

#[test]
fn a_file_can_be_read_in_one_sitting() {
    let lengths = rust_files().into_iter().map(|file| (file.text.lines().count(), file.path));
    let long = lengths.filter(|(lines, _)| *lines > LINES_MAX);
    check(long.map(|(lines, path)| format!("{path}: {lines} lines, more than {LINES_MAX}")));
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let files = rust_files();
    check(files.iter().flat_map(|file| lines_with(&file.path, &file.text, &UNFINISHED)));
}

#[test]
fn no_text_names_a_place_on_one_machine() {
    let files = text_files();
    check(files.iter().flat_map(|file| lines_with(&file.path, &file.text, &MACHINE)));
}

#[test]
fn packages_come_from_the_public_indexes() {
    let files = text_files();
    let named = files.iter().flat_map(|file| lines_with(&file.path, &file.text, &INDEXES));
    let lock = files.iter().find(|file| file.path == "Cargo.lock").expect("the lock file is part of the project");
    let foreign = lock.text.lines().filter(|line| line.starts_with("source = ") && *line != PUBLIC_INDEX);
    check(named.chain(foreign.map(|line| format!("Cargo.lock: {line}"))));
}
