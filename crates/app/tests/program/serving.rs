//! `larder serve`: where it listens, whom it lets in, what it refuses to open.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use crate::larder::{Served, code, folders, larder, push, run, stderr, without_settings};

#[test]
fn the_greeting_says_where_and_how() {
    let (_parent, folder) = folders();
    let mut child = larder(&["serve", "--data", &folder.display().to_string(), "--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let out = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let lines: Vec<String> = std::io::BufRead::lines(out).take(5).map(|line| line.expect("it is text")).collect();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let text = lines.join("\n");
    assert!(text.contains(&folder.canonicalize().expect("it is there").display().to_string()), "{text}");
    assert!(text.contains("http://127.0.0.1:") && text.contains("docker push localhost:"), "{text}");
    assert!(text.contains("open: this machine only"), "{text}");
}

/// One process writes a catalog (**Invariant 15**).
#[test]
fn the_data_folder_is_private_and_has_one_server() {
    let (_parent, folder) = folders();
    let served = Served::start(&folder);
    let mode = |path: &str| std::fs::metadata(folder.join(path)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("run/larder.sock")), (0o700, 0o600));
    let second = run(&["serve", "--data", &folder.display().to_string(), "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&second), 1);
    assert!(stderr(&second).contains(&format!("is in use by process {}", served.pid())), "{}", stderr(&second));
}

#[test]
fn beyond_loopback_it_listens_only_on_purpose() {
    let (_parent, folder) = folders();
    let data = folder.display().to_string();
    let refused = run(&["serve", "--data", &data, "--listen", "0.0.0.0:0"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("access.open"), "{}", stderr(&refused));
    assert!(!folder.exists(), "nothing was made");
    Served::start_with(&folder, &["--listen", "0.0.0.0:0"], &[("LARDER_ACCESS__OPEN", "read")]).stop();
}

/// A default address whose family the machine lacks is skipped: a new network namespace has 127.0.0.1 and no ::1.
#[test]
#[ignore = "needs to make a network namespace"]
fn without_ipv6_it_serves_the_default_address_that_is_there() {
    let (parent, folder) = folders();
    let log = parent.path().join("log");
    let mut command = without_settings("unshare");
    command.args(["--user", "--map-root-user", "--net", env!("CARGO_BIN_EXE_larder"), "serve", "--output", "jsonl"]);
    command.args(["--data", &folder.display().to_string()]).env("LARDER_DRAIN__DELAY", "0s");
    let mut served = Served::logging_to(command, std::fs::File::create(&log).expect("it can be made"));
    assert_eq!(served.greeting["addresses"], serde_json::json!(["http://127.0.0.1:5000"]));
    let told = std::fs::read_to_string(&log).expect("it is text");
    let skipped = told.lines().find(|line| line.contains("skipped")).unwrap_or_else(|| panic!("{told}"));
    assert!(skipped.contains("[::1]:5000"), "{skipped}");
    served.stop();
}

#[test]
fn as_a_stand_in_it_reads_the_old_file() {
    let (parent, folder) = folders();
    let file = parent.path().join("config.yml");
    std::fs::write(
        &file,
        format!("version: 0.1\nhttp:\n  addr: :0\nstorage:\n  filesystem:\n    rootdirectory: {}\n", folder.display()),
    )
    .expect("it can be written");
    let file = file.display().to_string();
    let mut command = larder(&["registry", "serve", &file, "--output", "jsonl"]);
    command.env("LARDER_ACCESS__OPEN", "write").env("LARDER_DRAIN__DELAY", "0s");
    let served = Served::greeted(command);
    assert!(served.greeting["data"].as_str().is_some_and(|data| data.ends_with("/data")), "{}", served.greeting);

    let protected = parent.path().join("protected.yml");
    std::fs::write(&protected, "auth:\n  token:\n    realm: https://auth.example\n").expect("it can be written");
    let refused = run(&["serve", &protected.display().to_string()]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("`auth.token.realm`: tokens of another token service"), "{}", stderr(&refused));
}

#[tokio::test]
async fn read_only_serves_pulls_and_refuses_pushes() {
    let (_parent, folder) = folders();
    let mut served = Served::start(&folder);
    push(served.url(), "ml-model", "1.0").await;
    served.stop();
    let served = Served::start_with(&folder, &["--read-only"], &[]);
    let client = reqwest::Client::new();
    let pulled =
        client.get(format!("{}/v2/ml-model/manifests/1.0", served.url())).send().await.expect("it is answered");
    assert_eq!(pulled.status(), 200);
    let pushed =
        client.post(format!("{}/v2/ml-model/blobs/uploads/", served.url())).send().await.expect("it is answered");
    assert_eq!(pushed.status(), 405);
    assert!(pushed.text().await.expect("there is a body").contains("read"), "the answer has a reason");
}

#[tokio::test]
async fn figures_can_stand_on_an_address_of_their_own() {
    let (_parent, folder) = folders();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it has one");
    let served = Served::start_with(&folder, &[], &[("LARDER_METRICS__LISTEN", &free.to_string())]);
    let status = async |url: String| reqwest::get(url).await.expect("it is answered").status().as_u16();
    assert_eq!(status(format!("http://{free}/metrics")).await, 200);
    assert_eq!(status(format!("{}/metrics", served.url())).await, 404);
    assert_eq!(status(format!("{}/healthz", served.url())).await, 200);
}

/// What systemd does: a listening socket as descriptor 3, and two variables.
#[tokio::test]
async fn a_socket_of_the_service_manager_is_used() {
    let (_parent, folder) = folders();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).expect("it may be inherited");
    let address = socket.local_addr().expect("it has one");
    let script = format!(
        "exec 3<&{}; export LISTEN_PID=$$ LISTEN_FDS=1; exec {} serve --data {} --output jsonl",
        socket.as_raw_fd(),
        env!("CARGO_BIN_EXE_larder"),
        folder.display()
    );
    let mut command = without_settings("bash");
    command.args(["-c", &script]).env("LARDER_DRAIN__DELAY", "0s");
    let served = Served::greeted(command);
    drop(socket);
    assert_eq!(served.url(), format!("http://{address}"));
    let answer = reqwest::get(format!("{}/v2/", served.url())).await.expect("it is answered");
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_newer_data_folder_is_refused_and_left_alone() {
    let (_parent, folder) = folders();
    Served::start(&folder).stop();
    let database = folder.join("catalog.db");
    let connection = rusqlite::Connection::open(&database).expect("it is SQLite");
    let newer = "INSERT INTO schema_migrations (version, name, sha256, applied_at) VALUES (999, 'of tomorrow', '', 0)";
    connection.execute(newer, []).expect("it can be written");
    connection.close().expect("it can be closed");
    let refused = run(&["serve", "--data", &folder.display().to_string(), "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("999"), "{}", stderr(&refused));
    let connection = rusqlite::Connection::open(&database).expect("it is SQLite");
    let versions = "SELECT group_concat(version) FROM schema_migrations";
    let versions: String = connection.query_row(versions, [], |row| row.get(0)).expect("it can be read");
    assert!(versions.ends_with("999"), "{versions}");
}

#[test]
#[ignore = "needs root"]
fn as_a_stand_in_root_becomes_the_owner_of_the_data_folder_or_powerless() {
    let (parent, folder) = folders();
    std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let file = parent.path().join("config.yml");
    std::fs::write(&file, "version: 0.1\n").expect("it can be written");
    for (owner, users, powers) in
        [(65_532, "65532\t65532\t65532\t65532", "0000000000000000"), (0, "0\t0\t0\t0", "0000000000000000")]
    {
        let data = folder.with_file_name(format!("of-{owner}"));
        std::fs::create_dir(&data).expect("it can be made");
        std::os::unix::fs::chown(&data, Some(owner), Some(owner)).expect("root may");
        let mut command = larder(&["serve", &file.display().to_string(), "--output", "jsonl"]);
        command
            .args(["--data", &data.display().to_string(), "--listen", "127.0.0.1:0"])
            .env("LARDER_DRAIN__DELAY", "0s");
        let mut served = Served::greeted(command);
        let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).expect("it runs");
        assert!(status.contains(&format!("\nUid:\t{users}\n")), "{owner}: {status}");
        assert!(status.contains(&format!("\nCapEff:\t{powers}\n")), "{owner}: {status}");
        let tasks = std::fs::read_dir(format!("/proc/{}/task", served.pid())).expect("it runs");
        for task in tasks {
            let status = std::fs::read_to_string(task.expect("it is there").path().join("status")).unwrap_or_default();
            assert!(status.is_empty() || status.contains(&format!("\nUid:\t{users}\n")), "every thread: {status}");
        }
        served.stop();
    }
}

/// Store and catalog know each other: yesterday's folder with today's disk, or an unmounted one (**Invariant 14**).
#[tokio::test]
async fn a_store_that_vanished_is_refused() {
    let (_parent, folder) = folders();
    let mut served = Served::start(&folder);
    push(served.url(), "ml-model", "1.0").await;
    served.stop();
    std::fs::rename(folder.join("blobs"), folder.join("unmounted")).expect("it can be moved");
    let refused = run(&["serve", "--data", &folder.display().to_string(), "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&refused), 1, "{}", stderr(&refused));
}
