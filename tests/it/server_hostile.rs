//! Statements that nobody may run on a server: none is run, read, written or asked, and the server lives on.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::root;
use crate::http::ask;
use crate::resume::files;
use crate::server::Server;

const CANARY: &str = "this-text-is-told-to-nobody";
const TOKEN: &str = "a-token-of-users";

/// Statements, one a line of the file.
fn corpus() -> Vec<String> {
    let text = fs::read_to_string(root().join("tests/data/hostile/statements.sql")).unwrap();
    let statements = text.lines().filter(|line| !line.is_empty() && !line.starts_with("--"));
    statements.map(str::to_owned).collect()
}

/// A folder with an open one in it, what must not be read beside that, and links that lead there.
fn ground() -> TempDir {
    let ground = tempfile::tempdir().unwrap();
    let at = |name: &str| ground.path().join(name);
    for folder in ["open/inner", "open/.hidden", "beside", "server"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for secret in ["canary.csv", "canary.onnx", "beside/canary.csv", "beside/canary.onnx", "open/.hidden/secret.csv"] {
        fs::write(at(secret), format!("secret\n{CANARY}\n")).unwrap();
    }
    fs::write(at("open/.hidden.csv"), format!("secret\n{CANARY}\n")).unwrap();
    fs::write(at("open/fine.csv"), "a\n1\n").unwrap();
    symlink(at("canary.csv"), at("open/link.csv")).unwrap();
    symlink(at("beside"), at("open/linked")).unwrap();
    fs::write(at("server/token"), TOKEN).unwrap();
    let open = at("open").display().to_string();
    let settings = format!("[server]\ntoken = {{ file = 'token' }}\n[connections.open]\nurl = 'file://{open}/'\n");
    fs::write(at("server/volley.toml"), settings).unwrap();
    ground
}

/// Counts who comes to a port of this machine.
fn listener() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, came) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = came.clone();
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, came)
}

fn filled(statement: &str, ground: &Path, port: u16) -> String {
    let path = |name: &str| ground.join(name).display().to_string();
    let statement = statement.replace("@CANARY", &path("canary.csv")).replace("@OPEN", &path("open"));
    statement.replace("@OUT", &path("out")).replace("@PORT", &port.to_string())
}

/// Sends a statement as a job and as one to be answered: the codes of both, and all that was said.
fn asked(server: &Server, statement: &str) -> ([String; 2], String) {
    let ask = |path: &str, body: &serde_json::Value| {
        let method = if body.is_null() { "GET" } else { "POST" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(server.address(), method, path, &[("authorization", &format!("Bearer {TOKEN}"))], &body)
    };
    let request = json!({ "sql": statement });
    let answered = ask("/v1/sql", &request);
    let submitted = ask("/v1/jobs", &request);
    let mut said = answered.text() + &submitted.text();
    let codes = match submitted.status < 300 {
        false => [answered.code(), submitted.code()],
        true => {
            let id = submitted.json()["id"].as_str().unwrap().to_owned();
            let told = ask(&format!("/v1/jobs/{id}/events"), &json!(null)).text();
            said += &told;
            let job = ask(&format!("/v1/jobs/{id}"), &json!(null)).json();
            [answered.code(), job["problems"][0]["code"].as_str().unwrap_or_default().to_owned()]
        }
    };
    (codes, said)
}

#[test]
fn no_hostile_statement_is_run() {
    let ground = ground();
    let server = Server::start(&ground.path().join("server"));
    let (port, came) = listener();
    let before = |name: &str| files(&ground.path().join(name));
    let (open, beside) = (before("open"), before("beside"));
    let corpus = corpus();
    assert!(corpus.len() >= 150, "{} statements", corpus.len());
    let mut wrong = vec![];
    for statement in &corpus {
        let filled = filled(statement, ground.path(), port);
        let (codes, said) = asked(&server, &filled);
        if codes.iter().any(|code| ["", "panicked", "internal"].contains(&code.as_str())) {
            wrong.push(format!("{statement}: {codes:?}"));
        }
        if said.contains(CANARY) || said.contains("root:x:0") {
            wrong.push(format!("{statement}: it tells what it read"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} statements:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
    assert_eq!(came.load(Ordering::SeqCst), 0, "somebody came to the listener");
    assert!(!ground.path().join("out").exists(), "something was written");
    assert!(before("beside") == beside && before("open") == open, "files were changed");
    assert!(!server.said().contains(CANARY));
    // And what is allowed still goes.
    let open = ground.path().join("open").display().to_string();
    let copy = format!("COPY (SELECT a FROM '{open}/fine.csv') TO '{open}/out/' STORED AS CSV");
    let (codes, said) = asked(&server, &copy);
    assert_eq!(codes, ["", "destination_not_empty"], "{said}");
}

#[test]
fn a_statement_of_any_depth_leaves_the_server_alive() {
    let ground = ground();
    let server = Server::start(&ground.path().join("server"));
    // Those that no parser of ours bounds are as deep as a statement may be.
    let deep = 60_000;
    for statement in [
        format!("SELECT {}1", "1+".repeat(1_990)),
        format!("SELECT 1 WHERE {}true", "true AND ".repeat(1_990)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(120)),
        format!("SELECT 1 FROM (VALUES (1)) t{}", ", (VALUES (1)) t".repeat(240)),
        format!("WITH t AS (SELECT 1) SELECT 1 FROM t{}", ", t".repeat(deep)),
        format!("SELECT {}1", "1+".repeat(deep)),
        format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("SELECT {}true", "NOT ".repeat(deep)),
        format!("SELECT 1 WHERE {}true", "true AND ".repeat(deep)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(deep / 2)),
        format!("SELECT {}1{}", "abs(".repeat(deep), ")".repeat(deep)),
        format!("SELECT {}", "-".repeat(deep)),
        format!("SELECT {}NULL{}", "[".repeat(deep), "]".repeat(deep)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(deep / 4), " END".repeat(deep / 4)),
        format!("SELECT * FROM {}(SELECT 1){}", "(SELECT * FROM ".repeat(deep / 4), ")".repeat(deep / 4)),
    ] {
        let (_, said) = asked(&server, &statement);
        assert!(!said.is_empty());
        let alive = ask(server.address(), "GET", "/healthz", &[], "");
        assert_eq!(alive.status, 200, "{}… ended it", &statement[..40]);
    }
}

#[test]
fn a_server_that_only_its_machine_reaches_keeps_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("fine.csv"), "a\n1\n").unwrap();
    fs::create_dir(at("models")).unwrap();
    fs::write(at("models/x.csv"), format!("secret\n{CANARY}\n")).unwrap();
    fs::write(at(".env.csv"), format!("secret\n{CANARY}\n")).unwrap();
    fs::write(at("key.csv"), CANARY).unwrap();
    let settings = "registry = 'models'\nstate = 'records'\n[connections.lake]\nurl = 's3://lake/'\n\
                    access_key_id = { env = 'K' }\nsecret_access_key = { file = 'key.csv' }\n";
    fs::write(at("volley.toml"), settings).unwrap();
    let server = Server::start(folder.path());
    let code = |sql: &str| {
        let answered = server.post("/v1/sql", &json!({ "sql": sql }));
        assert!(!answered.text().contains(CANARY), "{sql}");
        answered.code()
    };
    assert_eq!(code("SELECT * FROM 'fine.csv'"), "");
    assert_eq!(code("COPY (SELECT 1 AS a) TO 'out/' STORED AS CSV"), "");
    for sql in [
        "SELECT * FROM '.env.csv'",
        "SELECT * FROM 'key.csv'",
        "SELECT * FROM 'models/x.csv'",
        "SELECT * FROM 'records/server/requests/*.json'",
        "SELECT * FROM '../x.csv'",
        "COPY (SELECT 1 AS a) TO 'models/out/' STORED AS CSV",
        "COPY (SELECT 1 AS a) TO 'records/out/' STORED AS CSV",
    ] {
        assert_eq!(code(sql), "local_path", "{sql}");
    }
    assert_eq!(code("SELECT * FROM '**/x.csv'"), "table_not_found");
}
