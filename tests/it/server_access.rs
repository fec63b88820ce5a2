//! Who may ask a server, and when it refuses to listen.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::root;
use crate::http::ask;
use crate::process::{Ended, command, volley};
use crate::server::Server;

const TOKEN: &str = "a-token-of-users-which-is-a-canary";

fn certificates() -> PathBuf {
    root().join("tests/data/tls")
}

/// A folder whose settings name a token, and a certificate if that is wanted.
fn folder(tls: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let certificates = certificates();
    let certificates = certificates.display();
    let tls = match tls {
        true => format!("tls_certificate = '{certificates}/server.pem'\ntls_key = '{certificates}/server.key'\n"),
        false => String::new(),
    };
    std::fs::write(folder.path().join("volley.toml"), format!("[server]\ntoken = {{ file = 'token' }}\n{tls}"))
        .unwrap();
    folder
}

#[test]
fn nothing_but_signs_of_life_is_told_without_the_token() {
    let folder = folder(false);
    let server = Server::start(folder.path());
    let asked = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let body = if method == "POST" { json!({ "sql": "SELECT 1" }).to_string() } else { String::new() };
        ask(server.address(), method, path, headers, &body)
    };
    for (method, path) in [
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs/x"),
        ("GET", "/v1/jobs/x/events"),
        ("POST", "/v1/jobs/x/cancel"),
        ("POST", "/v1/jobs/x/resume"),
        ("POST", "/v1/sql"),
        ("GET", "/v1/sql/x"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("DELETE", "/v1/jobs"),
    ] {
        let wrong = TOKEN.replace("canary", "parrot");
        for given in ["", "Bearer", &format!("Bearer {wrong}"), &format!("Basic {TOKEN}"), TOKEN] {
            let headers: &[_] = if given.is_empty() { &[] } else { &[("authorization", given)] };
            let refused = asked(method, path, headers);
            assert_eq!((refused.status, refused.code().as_str()), (401, "unauthenticated"), "{path} {given}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(asked("GET", path, &[]).text(), "ok\n");
    }
    assert_eq!(asked("POST", "/v1/sql", &[("authorization", &format!("Bearer {TOKEN}"))]).status, 200);
    assert!(!server.said().contains(TOKEN), "{}", server.said());
}

#[test]
fn commands_bring_the_token_that_the_environment_or_the_settings_name() {
    let folder = folder(false);
    let server = Server::start(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let arguments = ["sql", "-c", "SELECT 1 AS a", "--format", "csv", "--cluster", &server.url];
    let asked = |token: &str| {
        let mut asked = command(elsewhere.path(), &arguments);
        Ended::from(asked.env("VOLLEY_TOKEN", token).output().unwrap())
    };
    assert_eq!(asked(TOKEN).said, "a\n1\n");
    asked("wrong").is_error(2, &["the token is not the one", "[unauthenticated]"]);
    asked("").is_error(2, &["VOLLEY_TOKEN", "[unauthenticated]"]);
    std::fs::write(elsewhere.path().join("key"), TOKEN).unwrap();
    std::fs::write(elsewhere.path().join("volley.toml"), "[cluster]\ntoken = { file = 'key' }\n").unwrap();
    assert_eq!(volley(elsewhere.path(), &arguments).said, "a\n1\n");
    std::fs::write(elsewhere.path().join("volley.toml"), format!("[cluster]\ntoken = '{TOKEN}'\n")).unwrap();
    let written_out = volley(elsewhere.path(), &arguments);
    written_out.is_error(2, &["volley.toml:2:", "{ env = ", "[invalid_setting]"]);
    assert!(!written_out.warned.contains(TOKEN));
}

#[test]
fn a_server_with_a_certificate_is_reached_by_who_trusts_it() {
    let folder = folder(true);
    let server = Server::start(folder.path());
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let asked = |ca: &str, url: &str| {
        let mut asked = command(folder.path(), &["sql", "-c", "SELECT 1 AS a", "--format", "csv", "--cluster", url]);
        Ended::from(asked.env("VOLLEY_TOKEN", TOKEN).env("VOLLEY_CA", ca).output().unwrap())
    };
    let ca = certificates().join("ca.pem").display().to_string();
    assert_eq!(asked(&ca, &server.url).said, "a\n1\n");
    asked("", &server.url).is_error(1, &[&server.url, "[server_unreachable]"]);
    asked(&ca, &server.url.replace("https", "http")).is_error(1, &["[server_unreachable]"]);
    asked("nowhere.pem", &server.url).is_error(2, &["nowhere.pem", "[file_not_found]"]);
    let key = folder.path().join("token").display().to_string();
    asked(&key, &server.url).is_error(2, &["no certificates", "[invalid_setting]"]);
}

#[test]
fn a_server_refuses_to_listen_to_others_without_token_and_certificate() {
    let start = |folder: &Path, arguments: &[&str]| volley(folder, &[&["server"], arguments].concat());
    let nothing = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        start(nothing.path(), &["--listen", listen])
            .is_error(2, &[listen, "a token and a certificate", "--insecure", "[insecure_listen]"]);
    }
    let token = folder(false);
    start(token.path(), &["--listen", "0.0.0.0:0"]).is_error(2, &["a certificate is missing", "[insecure_listen]"]);
    let settings = token.path().join("volley.toml");
    std::fs::write(&settings, "[server]\nlisten = '0.0.0.0:0'\n").unwrap();
    start(token.path(), &[]).is_error(2, &["[insecure_listen]"]);
    for (text, part) in [
        ("token = { env = 'NOT_SET' }", "NOT_SET"),
        ("token = { file = 'nowhere' }", "nowhere"),
        ("tls_key = 'x'", "go together"),
        ("tls_key = 'token'\ntls_certificate = 'token'", "cannot be used"),
        ("port = 1", "unknown field `port`"),
    ] {
        std::fs::write(&settings, format!("[server]\n{text}\n")).unwrap();
        start(token.path(), &["--listen", "127.0.0.1:0"]).is_error(2, &[part, "[invalid_setting]"]);
    }
    assert!(!token.path().join(".volley").exists(), "nothing was opened");
}

#[test]
fn a_port_and_a_state_have_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    volley(folder.path(), &["server", "--listen", server.address()]).is_error(1, &["[address_unavailable]"]);
    volley(folder.path(), &["server", "--listen", "127.0.0.1:0"]).is_error(1, &["another server", "[state_in_use]"]);
}

#[test]
fn a_page_of_the_web_asks_in_vain() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let body = json!({ "sql": "SELECT 1" }).to_string();
    let asked = |headers: &[(&str, &str)]| ask(server.address(), "POST", "/v1/sql", headers, &body).code();
    assert_eq!(asked(&[("host", "evil.example.org")]), "foreign_host");
    assert_eq!(asked(&[("origin", "https://evil.example.org")]), "foreign_host");
    // What a form of such a page could send without being asked for leave.
    assert_eq!(asked(&[("content-type", "text/plain")]), "invalid_request");
    assert_eq!(asked(&[]), "");
}

#[test]
fn where_no_server_is_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let asked = |url: &str| volley(folder.path(), &["sql", "-c", "SELECT 1", "--cluster", url]);
    asked("http://127.0.0.1:1").is_error(1, &["http://127.0.0.1:1", "[server_unreachable]"]);
    for url in ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://user@127.0.0.1"] {
        asked(url).is_error(2, &["--cluster", "[usage]"]);
    }
    for line in [&["jobs", "watch"], &["jobs", "cancel"]] {
        volley(folder.path(), &[&line[..], &["0197c6f0-0000-7000-8000-000000000001"]].concat())
            .is_error(2, &["--cluster", "[usage]"]);
    }
    volley(folder.path(), &["run", "x.sql", "--detach"]).is_error(2, &["--cluster", "[usage]"]);
}
