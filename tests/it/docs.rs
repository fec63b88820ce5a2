//! Keeps the documents true: their links lead somewhere, and every error code has its explanation.

use std::collections::BTreeSet;
use std::fs;

use crate::tree::{TextFile, root, rust_files, text_files};

const ERRORS: &str = "docs/guide/errors.md";

fn documents() -> Vec<TextFile> {
    let is_ours = |path: &str| path.ends_with(".md") && !path.starts_with("tests/data/");
    let documents: Vec<_> = text_files().into_iter().filter(|file| is_ours(&file.path)).collect();
    assert!(documents.len() > 10, "only {} documents were found", documents.len());
    documents
}

/// The lines of a document that are not code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    let targets = |line| str::split(line, "](").skip(1).filter_map(|rest: &str| rest.split(')').next());
    prose(text).flat_map(targets).collect()
}

/// The anchors that headings give, as code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_lowercase());
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    prose(text)
        .filter_map(heading)
        .map(|title| title.chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

/// What is wrong with a link of a document, if anything is.
fn fault(document: &TextFile, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let here = root().join(&document.path);
    let target = if path.is_empty() { here } else { here.parent()?.join(path) };
    if !target.exists() {
        return Some(format!("{}: `{link}` leads nowhere", document.path));
    }
    let leads_to_heading = || anchors(&fs::read_to_string(&target).unwrap_or_default()).contains(anchor);
    (!anchor.is_empty() && !leads_to_heading()).then(|| format!("{}: `{link}` names no heading", document.path))
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Every string literal that could be a code, with the text before and after it.
fn literals(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.match_indices('"').filter_map(|(start, _)| {
        let rest = &text[start + 1..];
        let end = rest.find('"')?;
        is_code(&rest[..end]).then(|| (&text[..start], &rest[..end], &rest[end + 1..]))
    })
}

/// Ends of what constructs an error from a code and a message.
const CONSTRUCTORS: [&str; 5] = ["Error::new", "Error::at", "Failure::new", "Self::new", ".mistake"];

/// Whether a literal stands where codes stand: `code: "…"`, the first part of a pair, the first argument
/// of an error's constructor, a constant.
fn stands_for_code(before: &str, after: &str) -> bool {
    let before = before.trim_end();
    let Some(callee) = before.strip_suffix('(') else {
        let is_constant = ["CODE: &str =", "INVALID: &str ="].iter().any(|end| before.ends_with(end));
        return before.ends_with(" code:") || is_constant;
    };
    // A pair in a list is a row of a table.
    let is_pair = !callee.trim_end().ends_with(|c: char| c.is_alphanumeric() || "_!,[".contains(c));
    after.starts_with(',') && (is_pair || CONSTRUCTORS.iter().any(|constructor| callee.ends_with(constructor)))
}

/// The codes that a source file gives to users, its tests aside.
fn codes(text: &str) -> BTreeSet<&str> {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let in_place = literals(text).filter(|(before, _, after)| stands_for_code(before, after)).map(|(_, code, _)| code);
    let code_functions = text.split("fn code(").skip(1).filter_map(|rest| rest.split("\n    }\n").next());
    let in_functions = code_functions.flat_map(|body| literals(body).map(|(_, code, _)| code));
    in_place.chain(in_functions).collect()
}

/// The first cells of the tables in `docs/guide/errors.md`.
fn documented(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

/// The codes with which a command ends with status 2: the list of the binary.
fn codes_of_status_two() -> BTreeSet<String> {
    let source = fs::read_to_string(root().join("crates/volley/src/report.rs")).expect("the binary's errors");
    let list = source.split("const WRONG").nth(1).and_then(|rest| rest.split("];").next()).expect("the list");
    literals(list).map(|(_, code, _)| code.to_owned()).collect()
}

/// The codes of the page whose last cell says `exit`.
fn ending_with<'a>(page: &'a str, exit: &str) -> BTreeSet<&'a str> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| line.trim_matches(['|', ' ']).split(" | ").collect::<Vec<_>>());
    rows.filter(|cells| cells.last() == Some(&exit)).map(|cells| cells[0].trim_matches('`')).collect()
}

fn error_page() -> String {
    fs::read_to_string(root().join(ERRORS)).expect(ERRORS)
}

fn sources() -> Vec<TextFile> {
    let is_source = |path: &str| path.starts_with("crates/") && path.contains("/src/");
    rust_files().into_iter().filter(|file| is_source(&file.path)).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let documents = documents();
    let faults: Vec<_> = documents
        .iter()
        .flat_map(|document| links(&document.text).into_iter().filter_map(|link| fault(document, link)))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_error_code_is_explained() {
    let (page, sources) = (error_page(), sources());
    let documented: BTreeSet<_> = documented(&page).into_iter().collect();
    let given = sources.iter().flat_map(|file| codes(&file.text).into_iter().map(move |code| (code, &file.path)));
    let silent: Vec<_> = given
        .filter(|(code, _)| !documented.contains(code))
        .map(|(code, path)| format!("{path}: `{code}` is not in {ERRORS}"))
        .collect();
    assert!(silent.is_empty(), "\n{}", silent.join("\n"));
}

#[test]
fn every_explained_error_code_exists() {
    let (page, sources) = (error_page(), sources());
    let given: BTreeSet<_> = sources.iter().flat_map(|file| codes(&file.text)).collect();
    let unknown: Vec<_> = documented(&page).into_iter().filter(|code| !given.contains(code)).collect();
    assert!(unknown.is_empty(), "{ERRORS} explains codes that nothing gives: {}", unknown.join(", "));
}

#[test]
fn an_error_code_is_explained_once() {
    let page = error_page();
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = documented(&page).into_iter().filter(|code| !seen.insert(*code)).collect();
    assert!(twice.is_empty(), "{ERRORS} explains twice: {}", twice.join(", "));
}

#[test]
fn every_explained_error_code_has_its_exit_status() {
    let (page, two) = (error_page(), codes_of_status_two());
    let (one, said) = (ending_with(&page, "1"), ending_with(&page, "2"));
    assert_eq!(said.iter().map(|code| code.to_string()).collect::<BTreeSet<_>>(), two);
    assert_eq!(one.len() + said.len(), documented(&page).len(), "every row says its status");
}

#[test]
fn the_page_on_performance_names_what_the_benches_measure() {
    let page = fs::read_to_string(root().join("docs/guide/performance.md")).expect("the page");
    let benches = rust_files().into_iter().filter(|file| file.path.starts_with("benches/"));
    let texts: String = benches.map(|file| file.text).collect();
    let groups: Vec<_> = texts.split("benchmark_group(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(groups.len() >= 2, "{groups:?}");
    for group in groups {
        assert!(page.contains(&format!("Group `{group}`")), "no section on `{group}`");
    }
    // And nothing that they do not: what stands in backquotes behind a group is the name of a bench.
    for name in ["conversion alone", "linear", "200 trees", "scan and write alone", "first_column", "trees"] {
        assert!(page.contains(&format!("`{name}`")) && texts.contains(&format!("\"{name}\"")), "`{name}`");
    }
    assert!(page.contains("--bin figures"));
}

#[test]
fn codes_are_found_in_every_way_they_are_written() {
    let source = r#"
        fn code(&self) -> &'static str {
            match self { A => "one", _ => "two" }
    }
        Problem { code: "three", message }
        EngineError::new("four", message)
        Err(("five", message))
        Failure::new("six", message)
        const INVALID: &str = "seven";
        set("not_a_code", message)
        let name = "neither";
    "#;
    let expected = ["one", "two", "three", "four", "five", "six", "seven"];
    assert_eq!(codes(source), BTreeSet::from(expected));
}
