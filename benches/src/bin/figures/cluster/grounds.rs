//! Folders with tables and models, and a server with executors on them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use volley_benches::{Bench, FEATURES, model_file};

/// The binary beside this one.
fn volley() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("volley");
    ensure!(
        path.is_file(),
        "build the binary too: cargo build --release -p volley -p volley-benches --bin volley --bin figures"
    );
    Ok(path)
}

/// A folder with `input/` and models.
pub struct Grounds(TempDir);

impl Grounds {
    /// With nothing in it but models.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for model in ["linear", "trees"] {
            std::fs::copy(model_file(model), folder.path().join(format!("{model}.onnx")))?;
        }
        Ok(Self(folder))
    }

    /// With rows of 30 floats.
    pub fn with_rows(rows: usize) -> Result<Self> {
        let grounds = Self::new()?;
        Runtime::new()?.block_on(async { Bench::open(grounds.folder()).await?.generate(rows).await })?;
        Ok(grounds)
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Scores `input/`.
    pub fn job(&self, model: &str) -> String {
        let inputs: Vec<_> = (0..FEATURES).map(|at| format!("f{at}")).collect();
        let inputs = inputs.join(", ");
        format!(
            "COPY (SELECT {inputs}, predict('./{model}.onnx', {inputs}) AS score FROM 'input/')
             TO 'output/' STORED AS PARQUET OPTIONS (mode 'overwrite')"
        )
    }

    /// Computes for as long as it is let.
    pub fn cross_join(&self) -> String {
        "COPY (SELECT a.f0 + b.f1 AS x FROM 'input/' a CROSS JOIN (SELECT f1 FROM 'input/' WHERE f1 > 1.9) b)
         TO 'crossed/' STORED AS PARQUET OPTIONS (mode 'overwrite')"
            .to_owned()
    }

    /// Runs a job in a process of its own: its seconds.
    pub fn run_here(&self, sql: &str) -> Result<f64> {
        self.run(sql, &["--cores", "2"])
    }

    fn run(&self, sql: &str, more: &[&str]) -> Result<f64> {
        std::fs::write(self.folder().join("job.sql"), sql)?;
        let mut command = Command::new(volley()?);
        let output = command.current_dir(self.folder()).args(["run", "job.sql", "--json"]).args(more).output()?;
        let told = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        let summary: Value = serde_json::from_str(told.lines().last().context("a summary")?)?;
        summary["seconds"].as_f64().context("seconds")
    }
}

/// A server with executors, until it is dropped.
pub struct Up<'a> {
    grounds: &'a Grounds,
    server: Child,
    executors: Vec<Child>,
    address: String,
}

impl<'a> Up<'a> {
    pub fn start(grounds: &'a Grounds, executors: usize, cores: usize) -> Result<Self> {
        Self::start_with(grounds, executors, cores, &[])
    }

    pub fn start_with(grounds: &'a Grounds, executors: usize, cores: usize, more: &[&str]) -> Result<Self> {
        let mut command = Command::new(volley()?);
        command.args(["server", "--listen", "127.0.0.1:0", "--cluster-listen", "127.0.0.1:0"]).args(more);
        let mut server = command.current_dir(grounds.folder()).stderr(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(server.stderr.take().context("standard error")?).lines();
        let (mut cluster, mut address) = (None, None);
        while cluster.is_none() || address.is_none() {
            let line = said.next().context("the server does not listen")??;
            cluster = cluster.or(line.strip_prefix("executors come to ").map(str::to_owned));
            address = address.or(line.strip_prefix("volley listens on http://").map(str::to_owned));
        }
        std::thread::spawn(move || said.for_each(drop));
        let mut up = Self { grounds, server, executors: vec![], address: address.context("an address")? };
        for _ in 0..executors {
            let mut command = Command::new(volley()?);
            command.args(["executor", "--server", cluster.as_deref().context("an address")?]);
            command.args(["--cores", &cores.to_string()]).stderr(Stdio::null());
            up.executors.push(command.current_dir(grounds.folder()).spawn()?);
        }
        let mut client = up.client()?;
        while client.get("/v1/executors")?["executors"].as_array().map_or(0, Vec::len) < executors {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(up)
    }

    /// Runs a job: its seconds.
    pub fn run(&self, sql: &str) -> Result<f64> {
        self.grounds.run(sql, &["--cluster", &format!("http://{}", self.address)])
    }

    pub fn client(&self) -> Result<Client> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        Ok(Client { address: self.address.clone(), stream: BufReader::new(stream) })
    }

    /// How long the executors computed in a tenth of a second, together.
    pub fn cpu(&self) -> Result<Duration> {
        let ticks = || -> Result<u64> { self.executors.iter().map(|executor| ticks(executor.id())).sum() };
        let before = ticks()?;
        std::thread::sleep(Duration::from_millis(100));
        // A tick of Linux is a hundredth of a second.
        Ok(Duration::from_millis(10 * (ticks()? - before)))
    }

    /// The most memory that the server had, in MiB.
    pub fn server_peak_mib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse::<u64>()? / 1024)
    }
}

fn ticks(process: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // What stands behind the name, which may hold anything, begins with the third field.
    let fields: Vec<_> = text.rsplit_once(')').context("a name")?.1.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        for child in self.executors.iter_mut().chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A connection to the API that is kept.
pub struct Client {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn get(&mut self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.ask("GET", path, "")?)?)
    }

    /// Answers a statement, to its last byte.
    pub fn statement(&mut self, sql: &str) -> Result<Vec<u8>> {
        self.ask("POST", "/v1/sql", &json!({ "sql": sql }).to_string())
    }

    /// The id of a new job.
    pub fn submit(&mut self, sql: &str) -> Result<String> {
        let answer = self.ask("POST", "/v1/jobs", &json!({ "sql": sql, "name": "figures" }).to_string())?;
        let job: Value = serde_json::from_slice(&answer)?;
        Ok(job["id"].as_str().context("an id")?.to_owned())
    }

    pub fn cancel(&mut self, job: &str) -> Result<()> {
        self.ask("POST", &format!("/v1/jobs/{job}/cancel"), "").map(drop)
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let head = self.head()?;
        let body = match head.iter().find_map(|line| line.strip_prefix("content-length: ")) {
            Some(length) => self.exactly(length.parse()?)?,
            None => self.chunks()?,
        };
        match head.first().is_some_and(|status| status.starts_with("http/1.1 2")) {
            true => Ok(body),
            false => bail!("{method} {path}: {}", String::from_utf8_lossy(&body)),
        }
    }

    /// The lines of the head, in lower case.
    fn head(&mut self) -> Result<Vec<String>> {
        let mut lines = vec![];
        loop {
            let line = self.line()?;
            match line.is_empty() {
                true => return Ok(lines),
                false => lines.push(line.to_ascii_lowercase()),
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the server has closed the connection");
        Ok(line.trim_end().to_owned())
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = vec![];
        loop {
            let length = usize::from_str_radix(&self.line()?, 16)?;
            body.extend(self.exactly(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
