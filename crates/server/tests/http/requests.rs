//! What every request has in common: its line in the log, and that nothing it does ends the server.

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Method, Request};
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{IMAGE, World};

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("it is text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }
}

#[tokio::test]
async fn a_request_leaves_one_line_with_what_matters_and_no_query() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.image("team/model", "1").await;
    // With one subscriber alone, tracing would let whichever test comes first on another thread decide that nobody listens.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
    let listening = tracing::subscriber::set_default(subscriber);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", trace), ("user-agent", "crane/1.0")];
    let answer = client.get_with("/v2/team/model/manifests/1?ns=secret-in-a-query", &headers).await;
    client.get("/healthz").await.expect(200);
    drop(listening);

    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let fields = &lines[0]["fields"];
    assert_eq!(fields["request_id"], answer.header("x-request-id"));
    assert_eq!((&fields["method"], &fields["route"]), (&"GET".into(), &"manifest".into()));
    assert_eq!((&fields["path"], &fields["status"]), (&"/v2/team/model/manifests/1".into(), &200.into()));
    assert_eq!((&fields["sent"], &fields["complete"]), (&answer.body.len().into(), &true.into()));
    assert_eq!((&fields["client"], &fields["user_agent"]), (&"127.0.0.1".into(), &"crane/1.0".into()));
    assert_eq!(fields["traceparent"], trace);
    assert!(!lines[0].to_string().contains("secret"), "{lines:?}");
    assert!(client.get(&format!("/v2/team/model/manifests/{digest}")).await.status.is_success());
}

/// A body that panics when it is read stands for any fault in a handler.
fn panicking_body() -> Body {
    Body::from_stream(futures::stream::poll_fn(|_| -> std::task::Poll<Option<io::Result<Vec<u8>>>> {
        panic!("a fault in a handler")
    }))
}

#[tokio::test]
async fn a_panic_in_a_handler_is_answered_and_the_server_goes_on() {
    let world = World::new().await;
    let client = world.anonymous();
    let location = client.post("/v2/a/blobs/uploads/", "").await.header("location").to_owned();
    for (method, path) in [(Method::PUT, "/v2/a/manifests/x"), (Method::PATCH, location.as_str())] {
        let request = Request::builder().method(method).uri(path).header("content-type", IMAGE);
        let answer = client.send(request.body(panicking_body()).expect("a request")).await;
        answer.expect(500);
        assert_eq!(answer.code(), "UNKNOWN");
    }
    let request = Request::post("/api/v1/repositories").header("content-type", "application/json");
    let answer = client.send(request.body(panicking_body()).expect("a request")).await;
    answer.expect(500);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    client.get("/v2/").await.expect(200);
    client.image("a", "x").await;
}
