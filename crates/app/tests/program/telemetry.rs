//! What the server tells of itself: traces, and whether it is ready.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use crate::larder::{PATIENCE, Served, folders};

/// Takes one request and answers it: its head, and its body.
fn taken(collector: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = collector.accept().expect("somebody comes");
    stream.set_read_timeout(Some(PATIENCE)).expect("it takes a timeout");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(&mut stream));
    }
    let head = String::from_utf8(head).expect("a head is text").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("it has a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).expect("it is whole");
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("it listens");
    (head, body)
}

fn byte(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("it goes on");
    byte[0]
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A quiet log does not empty the traces, and a request belongs to the trace that its caller began.
#[tokio::test]
async fn traces_are_sent_with_the_callers_id_whatever_is_logged() {
    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;
    for level in ["info", "warn", "off"] {
        let (_parent, folder) = folders();
        let collector = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let endpoint = format!("http://{}", collector.local_addr().expect("it has one"));
        let collected = std::thread::spawn(move || taken(&collector));
        let settings = [("LARDER_TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()), ("LARDER_LOG__LEVEL", level)];
        let mut served = Served::start_with(&folder, &[], &settings);
        let asked = reqwest::Client::new().get(format!("{}/v2/", served.url()));
        let answer = asked.header("traceparent", format!("00-{TRACE:032x}-{SPAN:016x}-01")).send().await;
        assert_eq!(answer.expect("it is answered").status(), 200);
        served.stop();
        let (head, body) = collected.join().expect("it was collected");
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert!(holds(&body, b"request") && holds(&body, b"larder"), "{level}: no span of a request");
        assert!(holds(&body, &TRACE.to_be_bytes()), "{level}: not in the caller's trace");
        assert!(holds(&body, &SPAN.to_be_bytes()), "{level}: not below the caller's span");
    }
}

/// A catalog that reads and takes no writes: the load balancer is told, and the answer says what is wrong.
#[tokio::test]
async fn a_catalog_that_takes_no_writes_makes_the_server_unready_until_it_does() {
    let (_parent, folder) = folders();
    let served = Served::start(&folder);
    let ready = async || {
        // An answer is used again for a second.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let answer = reqwest::get(format!("{}/readyz", served.url())).await.expect("it is answered");
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.expect("JSON"))
    };
    let (status, facts) = ready().await;
    assert_eq!((status, facts["catalog"].as_bool()), (200, Some(true)), "{facts}");
    change(
        &folder,
        "CREATE TRIGGER refuse_insert BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'not now'); END;
         CREATE TRIGGER refuse_update BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'not now'); END;",
    );
    let (status, facts) = ready().await;
    assert_eq!(status, 503);
    assert_eq!((facts["catalog"].as_bool(), facts["store"].as_bool()), (Some(false), Some(true)), "{facts}");
    change(&folder, "DROP TRIGGER refuse_insert; DROP TRIGGER refuse_update;");
    assert_eq!(ready().await.0, 200);
}

fn change(folder: &Path, statements: &str) {
    let connection = rusqlite::Connection::open(folder.join("catalog.db")).expect("it is SQLite");
    connection.busy_timeout(PATIENCE).expect("it waits");
    connection.execute_batch(statements).expect("it can be changed");
}
