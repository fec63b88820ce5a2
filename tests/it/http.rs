//! HTTP as it is on the wire: requests are written out, and answers are read to where they end, or break off.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether it came to its end.
    pub is_whole: bool,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}\n{}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The code of an error, and nothing of a success.
    pub fn code(&self) -> String {
        match self.status {
            200..=299 => String::new(),
            _ => {
                assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
                self.json()["code"].as_str().unwrap().to_owned()
            }
        }
    }
}

/// Sends a request to `127.0.0.1:PORT` and leaves the answer to be read, over a connection that is kept.
pub fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    let has = |name: &str| headers.iter().any(|(known, _)| *known == name);
    if !has("host") {
        head += &format!("host: {address}\r\n");
    }
    if !body.is_empty() && !has("content-type") {
        head += "content-type: application/json\r\n";
    }
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    stream
}

/// Sends a request and reads the answer.
pub fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
    let mut bytes = vec![];
    // Nothing comes after the answer.
    let headers = &[headers, &[("connection", "close")]].concat();
    let ended = send(address, method, path, headers, body).read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {ended:?}"));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let mut answered =
        Answered { status, headers: lines.filter_map(header).collect(), body: vec![], is_whole: ended.is_ok() };
    let body = &bytes[end + 4..];
    match answered.header("transfer-encoding") {
        "chunked" => (answered.body, answered.is_whole) = chunks(body),
        _ => answered.body = body.to_vec(),
    }
    answered
}

/// The body that its chunks make, and whether the last one is there.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = vec![];
    loop {
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else { return (body, false) };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if rest.len() < size + 2 {
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}
