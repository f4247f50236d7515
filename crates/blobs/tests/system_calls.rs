//! The store on disk from outside: `strace` answers its system calls with errors, or kills it at each of them (reliability D9, C).
//!
//! Each test runs itself once more below `strace`, and is ignored where nobody says that it is there: CI does.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use larder_blobs::fs::FsStore;
use larder_blobs::hash::digest_of;
use larder_blobs::suite::{body, collect, list, new_id};
use larder_blobs::{BlobStore as _, Checkpoint, Committed, Error, Result, Stored};
use larder_oci::Algorithm;

const FOLDER: &str = "LARDER_TEST_FOLDER";
const KILLED: i32 = 9;

/// The folder, if this process is the one below `strace`.
fn inside() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs `test` of this binary below `strace`, which meddles as `injection` says.
fn below_strace(test: &str, folder: &Path, injection: &str) -> ExitStatus {
    strace(test, folder, &["-f", "-o", "/dev/null", "-e", &format!("inject={injection}")])
}

fn strace(test: &str, folder: &Path, options: &[&str]) -> ExitStatus {
    let status = Command::new("strace")
        .arg("-qq")
        .args(options)
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .status();
    status.expect("strace is installed")
}

/// On one thread for all blocking calls, because `strace` counts calls by thread.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
    runtime.expect("a runtime").block_on(work)
}

async fn upload(folder: &Path) -> Result<Committed> {
    let store = FsStore::open(folder)?;
    let bytes = body(1, 700_000);
    let mut upload = store.open_upload(&new_id(), Checkpoint::start(Algorithm::Sha256)).await?;
    upload.write(bytes.slice(..300_000)).await?;
    upload.checkpoint().await?.await?;
    upload.write(bytes.slice(300_000..)).await?;
    upload.commit(&digest_of(Algorithm::Sha256, &bytes)).await
}

async fn objects(folder: &Path) -> usize {
    let store = FsStore::open(folder).expect("opens");
    let mut objects = 0;
    for stored in list(&store).await {
        match stored {
            Stored::Object { key, digest, size, .. } => {
                let object = store.open(&key, size).await.expect("opens");
                let bytes = collect(object.read(0..size)).await.expect("reads");
                assert_eq!(Some(digest_of(Algorithm::Sha256, &bytes)), digest);
                objects += 1;
            }
            Stored::Foreign { name, .. } => panic!("{name}"),
            Stored::Upload { .. } | Stored::Quarantined { .. } => {}
        }
    }
    objects
}

/// **Invariant 11**.
#[test]
#[ignore = "needs strace"]
fn an_error_of_the_medium_is_a_failed_sync() {
    if let Some(folder) = inside() {
        let outcome = run(upload(&folder));
        assert!(matches!(outcome, Err(Error::SyncFailed(_))), "{outcome:?}");
        assert_eq!(run(objects(&folder)), 0);
        return;
    }
    for injection in ["fdatasync:error=EIO:when=1", "fdatasync:error=EIO:when=2", "pwritev:error=EIO:when=2"] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let status = below_strace("an_error_of_the_medium_is_a_failed_sync", folder.path(), injection);
        assert!(status.success(), "{injection}");
    }
}

#[test]
#[ignore = "needs strace"]
fn a_full_medium_is_said_to_be_full() {
    if let Some(folder) = inside() {
        let outcome = run(upload(&folder));
        assert!(outcome.as_ref().is_err_and(Error::is_full), "{outcome:?}");
        return;
    }
    for call in ["pwritev", "renameat2", "fdatasync"] {
        for errno in ["ENOSPC", "EDQUOT"] {
            let folder = tempfile::tempdir().expect("a temporary directory");
            let injection = format!("{call}:error={errno}:when=1+");
            let status = below_strace("a_full_medium_is_said_to_be_full", folder.path(), &injection);
            assert!(status.success(), "{injection}");
        }
    }
}

/// The kernel's own "I do not know this" leads to link and unlink (**Invariant 1** holds by `link`, which never replaces).
#[test]
#[ignore = "needs strace"]
fn a_kernel_without_noreplace_is_served() {
    if let Some(folder) = inside() {
        run(upload(&folder)).expect("commits");
        assert_eq!(run(objects(&folder)), 1);
        return;
    }
    for injection in
        ["renameat2:error=EINVAL", "renameat2:error=ENOSYS", "preadv2:error=EOPNOTSUPP", "fadvise64:error=EINVAL"]
    {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let status = below_strace("a_kernel_without_noreplace_is_served", folder.path(), injection);
        assert!(status.success(), "{injection}");
    }
}

/// Invariants 1 and 12: killed at any call that changes the folder, a process leaves whole objects only.
#[test]
#[ignore = "needs strace"]
fn a_process_killed_at_any_call_leaves_whole_objects_only() {
    const CALLS: &str = "mkdirat,pwritev,fdatasync,fsync,renameat2,unlinkat";
    if let Some(folder) = inside() {
        run(upload(&folder)).expect("commits");
        return;
    }
    for call in CALLS.split(',') {
        for nth in 1..20 {
            let folder = tempfile::tempdir().expect("a temporary directory");
            let injection = format!("{call}:signal=SIGKILL:when={nth}");
            let test = "a_process_killed_at_any_call_leaves_whole_objects_only";
            let status = below_strace(test, folder.path(), &injection);
            let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(KILLED);
            assert!(killed || status.success(), "{injection}: {status}");
            let found = run(objects(folder.path()));
            assert!(found <= 1 && (killed || found == 1), "{injection}: {found} objects");
            if !killed {
                break;
            }
        }
    }
}

/// Storage (issue 3 §2): bytes are written once and hashed as they stream; nothing is written again or read back at the commit.
#[test]
#[ignore = "needs strace"]
fn an_upload_writes_each_byte_once_and_reads_none_back() {
    const CALLS: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,read,readv,pread64,preadv,preadv2,\
                         mmap,sendfile,splice,copy_file_range";
    const LENGTH: usize = 5_000_001;
    let test = "an_upload_writes_each_byte_once_and_reads_none_back";
    if let Some(folder) = inside() {
        run(async {
            let store = FsStore::open(&folder).expect("opens");
            let bytes = body(1, LENGTH);
            let upload = store.open_upload(&new_id(), Checkpoint::start(Algorithm::Sha256)).await;
            let mut upload = upload.expect("opens");
            for piece in [0..1_000, 1_000..2_000_000, 2_000_000..LENGTH] {
                upload.write(bytes.slice(piece)).await.expect("writes");
            }
            upload.commit(&digest_of(Algorithm::Sha256, &bytes)).await.expect("commits");
        });
        return;
    }
    let (folder, traces) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let output = traces.path().join("trace").display().to_string();
    // A file for each thread, and the path beside each descriptor.
    assert!(strace(test, folder.path(), &["-ff", "-y", "-o", &output, "-e", CALLS]).success());
    let (mut written, mut read) = (0, Vec::new());
    for trace in std::fs::read_dir(traces.path()).expect("traces") {
        let text = std::fs::read_to_string(trace.expect("a trace").path()).expect("it is text");
        let is_data = |line: &&str| line.contains("/uploads/") || line.contains("/blobs/");
        for line in text.lines().filter(is_data) {
            if line.starts_with("write") || line.starts_with("pwrite") {
                written += line.rsplit(" = ").next().and_then(|count| count.parse::<usize>().ok()).expect("a count");
            } else {
                read.push(line.to_owned());
            }
        }
    }
    assert_eq!(written, LENGTH);
    assert!(read.is_empty(), "{read:?}");
}
