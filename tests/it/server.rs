//! A real `volley server`, as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Answered, ask};
use crate::process::{Ended, command, volley};

/// How long anything may take that a test waits for; nothing fails by being slow alone.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A server that is killed when the test is done with it.
pub struct Server {
    child: Child,
    pub url: String,
    /// What is shown it.
    token: Option<String>,
    said: Arc<Mutex<String>>,
}

impl Server {
    /// Starts a server in a folder, at a port of its own.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[], &[])
    }

    /// The same with executors beside it.
    pub fn up(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_as("up", folder, arguments, &[])
    }

    pub fn start_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_as("server", folder, arguments, variables)
    }

    fn start_as(what: &str, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let listen: &[&str] = if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let mut command = command(folder, &[&[what], listen, arguments].concat());
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut before = vec![];
        let url = lines.find_map(|line| match line.strip_prefix("volley listens on ") {
            Some(url) => Some(url.to_owned()),
            None => {
                before.push(line);
                None
            }
        });
        let url = url.unwrap_or_else(|| panic!("the server does not listen: {}", before.join("\n")));
        let said = Arc::new(Mutex::new(before.join("\n")));
        let log = said.clone();
        // Read to its end, or the server would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(|line| *log.lock().unwrap() += &format!("\n{line}")));
        Self { child, url, token: None, said }
    }

    /// The same server, which wants to see a token.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Where executors come to.
    pub fn cluster(&self) -> String {
        until(|| self.said().lines().find_map(|line| Some(line.strip_prefix("executors come to ")?.to_owned())))
    }

    /// What it has logged.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    pub fn get(&self, path: &str) -> Answered {
        self.ask("GET", path, "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answered {
        self.ask("POST", path, &body.to_string())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answered {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        ask(self.address(), method, path, &headers, body)
    }

    /// `volley ARGUMENTS --cluster URL` in a folder.
    pub fn volley(&self, folder: &Path, arguments: &[&str]) -> Ended {
        volley(folder, &[arguments, &["--cluster", &self.url]].concat())
    }

    /// The same, where nothing but success is right.
    pub fn succeed(&self, folder: &Path, arguments: &[&str]) -> Ended {
        let ended = self.volley(folder, arguments);
        assert_eq!(ended.status, Some(0), "volley {arguments:?}\n{}{}\n{}", ended.said, ended.warned, self.said());
        ended
    }

    /// Submits a job and gives its id.
    pub fn submit(&self, request: &Value) -> String {
        let submitted = self.post("/v1/jobs", request);
        assert!(submitted.status < 300, "{}", submitted.text());
        submitted.json()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a job is over, and gives it.
    pub fn wait(&self, id: &str) -> Value {
        let is_over = |job: &Value| ["succeeded", "failed", "canceled"].contains(&job["state"].as_str().unwrap());
        self.wait_for(id, is_over)
    }

    /// Waits until a job is as it is wanted.
    pub fn wait_for(&self, id: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        until(|| Some(self.get(&format!("/v1/jobs/{id}")).json()).filter(&is_wanted))
    }

    /// The same where it may be gone.
    pub fn try_post(&self, path: &str, body: &Value) -> Option<Answered> {
        std::net::TcpStream::connect(self.address()).ok()?;
        Some(self.post(path, body))
    }

    /// Waits until it has ended by itself: its status.
    pub fn ended(&mut self) -> Option<i32> {
        let status = until(|| self.child.try_wait().unwrap());
        // What it said last may still be read.
        std::thread::sleep(Duration::from_millis(50));
        status.code()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) {
        crate::kills::signal("TERM", &self.child);
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}\n{}", self.said());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until there is an answer.
pub fn until<T>(mut answer: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(start.elapsed() < WAIT_MAX, "nothing came of it");
        std::thread::sleep(Duration::from_millis(10));
    }
}
