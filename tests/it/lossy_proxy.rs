//! A TCP proxy that loses calls: the request on its way, or the answer to one that arrived.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The kind of frame that a call begins with.
const HEADERS: u8 = 1;

/// The proxy, until it is dropped.
pub struct LossyProxy {
    pub address: SocketAddr,
    calls: Arc<Calls>,
    accepting: JoinHandle<()>,
}

/// The calls that have come by.
struct Calls {
    seen: AtomicU64,
    lost: AtomicU64,
    /// Of so many, one is lost.
    every: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    /// Its request does not arrive.
    LosesRequest,
    /// Its request arrives, and the answer is lost.
    LosesAnswer,
}

impl Calls {
    /// In turn, requests and answers are lost.
    fn next(&self) -> Fate {
        match self.seen.fetch_add(1, Ordering::Relaxed) + 1 {
            call if call % self.every != 0 => Fate::Passes,
            _ if self.lost.fetch_add(1, Ordering::Relaxed) % 2 == 0 => Fate::LosesRequest,
            _ => Fate::LosesAnswer,
        }
    }
}

impl LossyProxy {
    /// Leads to `server`, and loses one of `every` calls; connections of lost calls break.
    pub async fn start(server: SocketAddr, every: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(Calls { seen: AtomicU64::new(0), lost: AtomicU64::new(0), every });
        let counted = calls.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, counted.clone()));
            }
        });
        Self { address, calls, accepting }
    }

    /// How many calls came by, and how many of them were lost.
    pub fn counted(&self) -> (u64, u64) {
        (self.calls.seen.load(Ordering::Relaxed), self.calls.lost.load(Ordering::Relaxed))
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves one connection to its end, or until one of its calls is lost.
async fn pass(client: TcpStream, server: SocketAddr, calls: Arc<Calls>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, mut to_client), (mut from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        // What the client has sent, a lost request excepted, reaches the server before both sides are closed.
        _ = forward(from_client, to_server, &calls) => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Forwards call by call. Ends when one is to be lost.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    calls: &Calls,
) -> std::io::Result<()> {
    let mut start = [0; PREFACE.len()];
    from.read_exact(&mut start).await?;
    match start == PREFACE {
        true => {
            to.write_all(&start).await?;
            forward_frames(from, to, calls).await
        }
        false => forward_requests(start.to_vec(), from, to, calls).await,
    }
}

/// HTTP/2: a header of nine bytes, of which three are the length and one is the kind, and what it is long.
async fn forward_frames(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    calls: &Calls,
) -> std::io::Result<()> {
    let mut is_last = false;
    loop {
        let mut frame = vec![0; 9];
        from.read_exact(&mut frame).await?;
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
        let (kind, ends_call) = (frame[3], frame[4] & 1 == 1);
        frame.resize(9 + length, 0);
        from.read_exact(&mut frame[9..]).await?;
        if kind == HEADERS {
            match calls.next() {
                Fate::Passes => {}
                Fate::LosesRequest => return Ok(()),
                Fate::LosesAnswer => is_last = true,
            }
        }
        to.write_all(&frame).await?;
        if is_last && ends_call && kind <= HEADERS {
            to.flush().await?;
            return to.shutdown().await;
        }
    }
}

/// HTTP/1.1 with a body of known length, one request after another.
async fn forward_requests(
    mut request: Vec<u8>,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    calls: &Calls,
) -> std::io::Result<()> {
    loop {
        let end = loop {
            if let Some(end) = end_of_request(&request) {
                break end;
            }
            if from.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        };
        let fate = calls.next();
        if fate == Fate::LosesRequest {
            return Ok(());
        }
        to.write_all(&request[..end]).await?;
        if fate == Fate::LosesAnswer {
            return to.shutdown().await;
        }
        request.drain(..end);
    }
}

/// Where the first request ends, if all of it is there.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}
