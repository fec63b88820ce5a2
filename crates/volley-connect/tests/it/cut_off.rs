//! What is read from a store goes on where it was cut off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;
use volley_connect::{Budget, Connection, Environment, StoreFault, Stores};

/// A server that gives one answer after the other, each on a connection of its own that it then cuts off, and
/// what it was asked.
struct Server {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(vec![]));
        let heard = asked.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![];
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(socket.read_u8().await.unwrap());
                }
                heard.lock().unwrap().push(String::from_utf8(request).unwrap());
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { endpoint, asked }
    }

    fn store(&self, url: &str, connections: BTreeMap<String, Connection>) -> Arc<dyn ObjectStore> {
        let budget = Budget { retry: Duration::from_secs(20), timeout: Duration::from_secs(10) };
        let stores = Stores::new(&connections, Environment::default(), budget).unwrap();
        stores.get_store(&Url::parse(url).unwrap()).unwrap()
    }

    fn web(&self) -> Arc<dyn ObjectStore> {
        self.store(&self.endpoint, BTreeMap::new())
    }

    fn bucket(&self) -> Arc<dyn ObjectStore> {
        let lake = Connection {
            url: "s3://lake/".to_string(),
            endpoint: Some(self.endpoint.clone()),
            anonymous: true,
            ..Connection::default()
        };
        self.store("s3://lake/", BTreeMap::from([("lake".to_string(), lake)]))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

const DAY: &str = "Last-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n";

/// `0123456789` from a place on, cut off after so many of its bytes.
fn object(from: usize, sent: usize, day: &str) -> String {
    let body = &"0123456789"[from..from + sent];
    let length = 10 - from;
    match from {
        0 => format!("HTTP/1.1 200 OK\r\n{day}Content-Length: {length}\r\n\r\n{body}"),
        from => format!(
            "HTTP/1.1 206 Partial Content\r\n{day}Content-Range: bytes {from}-9/10\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    }
}

#[tokio::test]
async fn an_object_without_a_mark_is_read_on_from_where_it_was_cut_off() {
    let server = Server::start(vec![object(0, 3, DAY), object(3, 4, DAY), object(7, 3, DAY)]).await;
    let bytes = server.web().get(&Path::from("x")).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, "0123456789");
    let ranges: Vec<_> =
        server.asked().iter().map(|request| request.to_lowercase().contains("range: bytes=")).collect();
    assert_eq!(ranges, [false, true, true]);
}

#[tokio::test]
async fn the_rest_of_another_version_is_not_taken_for_it() {
    let later = DAY.replace("10:00:00", "10:00:01");
    let server = Server::start(vec![object(0, 3, DAY), object(3, 7, &later)]).await;
    let error = server.web().get(&Path::from("x")).await.unwrap().bytes().await.unwrap_err();
    assert_eq!(StoreFault::find(&error).unwrap().code(), "store_unavailable", "{error}");
}

#[tokio::test]
async fn a_listing_that_was_cut_off_names_every_object_once() {
    let page = |names: &[&str], token: &str| {
        let contents = names.iter().map(|name| {
            format!("<Contents><Key>{name}</Key><LastModified>2026-11-24T10:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>1</Size></Contents>")
        });
        let contents: String = contents.collect();
        format!(
            "<ListBucketResult><IsTruncated>{}</IsTruncated>{contents}{token}</ListBucketResult>",
            !token.is_empty()
        )
    };
    let answer = |body: &str, sent: usize| {
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}", body.len(), &body[..sent])
    };
    let first = page(&["a", "b"], "<NextContinuationToken>more</NextContinuationToken>");
    let second = page(&["c"], "");
    let whole = |body: &str| answer(body, body.len());
    let server = Server::start(vec![whole(&first), answer(&second, 20), whole(&first), whole(&second)]).await;
    let listed: Vec<_> =
        server.bucket().list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, ["a", "b", "c"]);
    assert_eq!(server.asked().len(), 4);
}
