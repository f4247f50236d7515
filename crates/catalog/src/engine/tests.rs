//! The writer, its group commit, and the disk under it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::{Duration, Instant};

use larder_oci::Actions;

use crate::engine::migrations::{Migration, SQLITE};
use crate::engine::{Fault, Kind, Tx, sqlite, values};
use crate::fixture::{Fixture, digest, manifest, name, pattern, stamp, tag, visible};
use crate::model::access::{CreateUser, Effect, NewGrant, NewUser, Subject};
use crate::model::{Options, PutManifest, RepositoryFilter};
use crate::{Catalog, Error, Result};

fn options() -> Options {
    Options { ballast: 0, ..Options::default() }
}

async fn on_disk(folder: &Path) -> Catalog {
    Catalog::open_sqlite(&folder.join("catalog.db"), &options()).await.expect("a catalog opens")
}

/// Keeps the writer busy until the sender is used or dropped; resolves when it has begun.
async fn hold(catalog: &Catalog) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
    let (begun, wait) = tokio::sync::oneshot::channel();
    let (release, held) = mpsc::channel::<()>();
    let (catalog, mut begun) = (catalog.clone(), Some(begun));
    let task = tokio::spawn(async move {
        let work = move |_: &mut Tx<'_>| {
            begun.take().map(|begun| begun.send(()));
            let _ = held.recv();
            Ok(())
        };
        catalog.engine().write(Kind::Grow, work).await
    });
    wait.await.expect("the writer has begun");
    (release, task)
}

async fn queued(catalog: &Catalog, wanted: usize) {
    while !format!("{:?}", catalog.engine().writes).contains(&format!("waiting: {wanted}")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn note(tx: &mut Tx<'_>, key: &str) -> std::result::Result<(), Fault> {
    tx.execute("INSERT INTO meta (key, value) VALUES ($1, 'x')", values![key]).map(drop)
}

async fn is_noted(catalog: &Catalog, key: &'static str) -> bool {
    let work = move |tx: &mut Tx<'_>| tx.any("SELECT 1 FROM meta WHERE key = $1", values![key]);
    catalog.engine().read(Kind::Read, work).await.expect("answered")
}

/// **Invariant 15**: what waits together is committed together, and answered after that.
#[tokio::test]
async fn units_that_wait_share_one_commit() {
    let f = Fixture::disk().await;
    let (release, held) = hold(&f.catalog).await;
    let before = f.statistics();
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move { catalog.create_repository(&name(&format!("r{n}")), stamp(0)).await })
        })
        .collect();
    queued(&f.catalog, 50).await;
    assert!(f.repositories(&RepositoryFilter::All, None, 99).await.expect("listed").items.is_empty());
    drop(release);
    held.await.expect("no panic").expect("committed");
    for task in tasks {
        assert!(task.await.expect("no panic").expect("committed"));
    }
    let after = f.statistics();
    assert_eq!((after.commits - before.commits, after.units - before.units), (2, 51));
}

/// **Invariant 15**: a unit that fails, by a verdict or by a panic, goes alone.
#[tokio::test]
async fn a_unit_that_fails_takes_nothing_with_it() {
    for f in [Fixture::disk().await, Fixture::memory().await] {
        let (release, held) = hold(&f.catalog).await;
        let before = f.statistics().commits;
        let write = |key: &'static str, end: fn() -> std::result::Result<(), Fault>| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move {
                catalog.engine().write(Kind::Grow, move |tx| note(tx, key).and_then(|()| end())).await
            })
        };
        let good = write("good", || Ok(()));
        queued(&f.catalog, 1).await;
        let bad = write("bad", || Err(Fault::Error(Error::ReadOnly)));
        queued(&f.catalog, 2).await;
        let worse = write("worse", || panic!("a bug"));
        queued(&f.catalog, 3).await;
        let last = write("last", || Ok(()));
        queued(&f.catalog, 4).await;
        drop(release);
        held.await.expect("no panic").expect("committed");
        assert!(good.await.expect("no panic").is_ok());
        assert!(matches!(bad.await.expect("no panic"), Err(Error::ReadOnly)));
        assert!(matches!(worse.await.expect("no panic"), Err(Error::Database(_))));
        assert!(last.await.expect("no panic").is_ok());
        assert_eq!(f.statistics().commits, before + 2);
        assert!(is_noted(&f.catalog, "good").await && is_noted(&f.catalog, "last").await);
        assert!(!is_noted(&f.catalog, "bad").await && !is_noted(&f.catalog, "worse").await);
    }
}

/// **Invariant 15**: a connection that drops leaves nothing half done.
#[tokio::test]
async fn a_waiter_that_goes_leaves_its_unit_whole_or_not_begun() {
    let f = Fixture::disk().await;
    let (release, held) = hold(&f.catalog).await;
    let waiting = tokio::spawn({
        let catalog = f.catalog.clone();
        async move { catalog.put_manifest(manifest("gone", 1, vec![], &["t"])).await }
    });
    queued(&f.catalog, 1).await;
    waiting.abort();
    assert!(waiting.await.expect_err("aborted").is_cancelled());
    drop(release);
    held.await.expect("no panic").expect("committed");
    f.check_writable().await.expect("the writer goes on");
    assert!(!f.repository_exists(&name("gone")).await.expect("answered"));
    // A unit that has begun is carried to its end.
    let (release, held) = hold(&f.catalog).await;
    held.abort();
    assert!(held.await.expect_err("aborted").is_cancelled());
    drop(release);
    f.check_writable().await.expect("the writer goes on");
}

/// **Invariant 2**: what was acknowledged is in the database and its log, at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_database_and_log_holds_all_that_was_acknowledged() {
    let (folder, image) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let catalog = on_disk(folder.path()).await;
    let (tell, mut told) = tokio::sync::mpsc::channel(10_000);
    let pushers: Vec<_> = (0..4_u64)
        .map(|pusher| {
            let (catalog, tell) = (catalog.clone(), tell.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let push = manifest(&format!("r{pusher}"), pusher * 10_000 + n, vec![], &["t"]);
                    let digest = push.digest;
                    catalog.put_manifest(push).await.expect("pushed");
                    if tell.send((pusher, digest)).await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    for round in 0..5 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut acknowledged = Vec::new();
        while let Ok(answer) = told.try_recv() {
            acknowledged.push(answer);
        }
        assert!(!acknowledged.is_empty());
        let copy = image.path().join(format!("{round}.db"));
        for end in ["", "-wal"] {
            let (from, to) =
                (folder.path().join(format!("catalog.db{end}")), image.path().join(format!("{round}.db{end}")));
            std::fs::copy(from, to).expect("copied");
        }
        let restored = Catalog::open_sqlite(&copy, &options()).await.expect("the image opens");
        for (pusher, digest) in acknowledged {
            let reference = digest.to_string().parse().expect("a reference");
            let found = restored.manifest(&name(&format!("r{pusher}")), &reference, true).await.expect("answered");
            assert!(found.is_some(), "an acknowledged manifest");
        }
        assert_eq!(integrity(&restored).await, "ok");
        restored.close().await;
    }
    drop(told);
    for pusher in pushers {
        pusher.await.expect("no panic");
    }
}

async fn integrity(catalog: &Catalog) -> String {
    let work = |tx: &mut Tx<'_>| tx.row("PRAGMA integrity_check", values![], |row| row.text(0));
    catalog.engine().read(Kind::Read, work).await.expect("answered").expect("a verdict")
}

const TODAY: &[Migration] = SQLITE;
/// The newest step of today, and the first of tomorrow.
const NEWEST: i64 = SQLITE[SQLITE.len() - 1].version;
const NEXT: i64 = NEWEST + 1;
const COLOURS: Migration =
    Migration { version: NEXT, name: "colours", text: "CREATE TABLE colours (id INTEGER PRIMARY KEY) STRICT" };
static TOMORROW: LazyLock<Vec<Migration>> = LazyLock::new(|| SQLITE.iter().copied().chain([COLOURS]).collect());
const HALF: &str = "CREATE TABLE half (id INTEGER); CREATE TABLE meta (key TEXT)";
static BROKEN: LazyLock<Vec<Migration>> =
    LazyLock::new(|| SQLITE.iter().copied().chain([Migration { text: HALF, ..COLOURS }]).collect());
const OTHER: Migration = Migration { version: 1, name: "catalog", text: "CREATE TABLE meta (key TEXT)" };
static CHANGED: LazyLock<Vec<Migration>> =
    LazyLock::new(|| [OTHER].into_iter().chain(SQLITE.iter().copied().skip(1)).collect());

fn open(path: &Path, options: &Options, known: &'static [Migration]) -> Result<Catalog> {
    sqlite::open(path, options, known).map(Catalog::over)
}

#[tokio::test]
async fn a_catalog_is_copied_before_it_is_migrated_and_refused_by_the_older_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let catalog = open(&path, &options(), TODAY).expect("a new catalog opens");
    assert_eq!(catalog.migration_copy(), None, "a new one has nothing to copy");
    catalog.put_manifest(manifest("a", 1, vec![], &["t"])).await.expect("pushed");
    catalog.close().await;
    let catalog = open(&path, &options(), &TOMORROW).expect("the newer program opens it");
    let copy = catalog.migration_copy().expect("a copy").to_owned();
    assert_eq!(copy, folder.path().join(format!("catalog.pre-{NEXT}.db")));
    assert_eq!(std::fs::metadata(&copy).expect("the copy").permissions().mode() & 0o777, 0o600);
    catalog.put_manifest(manifest("a", 2, vec![], &["later"])).await.expect("pushed");
    catalog.close().await;
    let catalog = open(&path, &options(), &TOMORROW).expect("it opens again");
    assert_eq!(catalog.migration_copy(), None);
    catalog.close().await;
    let before = std::fs::read(&path).expect("its bytes");
    let refused = open(&path, &options(), TODAY).expect_err("the older program refuses it");
    assert!(std::fs::read(&path).expect("its bytes") == before, "a refused catalog is as it was, byte for byte");
    assert!(matches!(refused, Error::Newer { found: NEXT, known: NEWEST }), "{refused}");
    let back = open(&copy, &options(), TODAY).expect("the copy is the way back");
    let tags = back.tags(&name("a"), None, 9).await.expect("listed").expect("the repository");
    assert_eq!(tags.items, [tag("t")]);
    back.close().await;
}

/// Without the way back nothing is migrated. The catalog is made as long as its disk has space, and holds nothing there.
#[tokio::test]
async fn a_catalog_is_not_migrated_without_space_for_its_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let catalog = open(&path, &options(), TODAY).expect("a new catalog opens");
    catalog.put_manifest(manifest("a", 1, vec![], &["t"])).await.expect("pushed");
    catalog.close().await;
    let length = std::fs::metadata(&path).expect("it is there").len();
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it opens");
    let space = rustix::fs::statvfs(folder.path()).expect("a file system");
    file.set_len(space.f_bavail * space.f_frsize).expect("a hole takes no space");
    let refused = open(&path, &options(), &TOMORROW).expect_err("there is no space for a copy");
    assert!(matches!(refused, Error::Full), "{refused}");
    file.set_len(length).expect("it is cut back");
    let names = std::fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("an entry").file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.contains("pre-")), "no copy, whole or in part: {names:?}");
    let catalog = open(&path, &options(), TODAY).expect("the older program opens it");
    let tags = catalog.tags(&name("a"), None, 9).await.expect("listed").expect("the repository");
    assert_eq!(tags.items, [tag("t")]);
    catalog.close().await;
}

/// Repositories from before accounts are private, nobody's, and in the lists of whoever is granted them.
#[tokio::test]
async fn a_catalog_from_before_accounts_is_brought_up_to_date_with_its_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let first = SQLITE.split_at(1).0;
    let catalog = open(&path, &options(), first).expect("a catalog of the first program opens");
    let sql = "INSERT INTO repositories (name, created_at) VALUES ($1, 0)";
    let old = move |tx: &mut Tx<'_>| {
        ["bob/model", "team/model"].into_iter().try_for_each(|name| tx.execute(sql, values![name]).map(drop))
    };
    catalog.engine().write(Kind::Grow, old).await.expect("rows of the first program");
    catalog.close().await;
    let catalog = on_disk(folder.path()).await;
    let facts = catalog.repository_facts(&name("bob/model")).await.expect("answered").expect("it is still there");
    assert_eq!((facts.public, facts.created_by), (false, None));
    for user in ["admin", "bob"] {
        let new = NewUser { name: user.to_owned(), ..NewUser::default() };
        let made = catalog.create_user(new, stamp(1)).await.expect("answered");
        assert_eq!(matches!(made, CreateUser::NameTaken(_)), user == "bob", "{made:?}");
    }
    let grant = NewGrant {
        subject: Subject::User("carol".to_owned()),
        actions: Actions::ALL,
        pattern: pattern("*/model"),
        effect: Effect::Allow,
        note: String::new(),
    };
    catalog.add_grant(grant, stamp(1)).await.expect("granted");
    let page = catalog.repositories(&visible(&["*/model"], &["bob/**"]), None, 9).await.expect("listed");
    assert_eq!(page.items, [name("team/model")]);
    catalog.close().await;
}

#[tokio::test]
async fn a_migration_with_another_text_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    open(&path, &options(), TODAY).expect("a new catalog opens").close().await;
    let refused = open(&path, &options(), &CHANGED).expect_err("another text");
    assert!(matches!(refused, Error::MigrationChanged { version: 1, .. }), "{refused}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_catalog_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    open(&path, &options(), TODAY).expect("a new catalog opens").close().await;
    open(&path, &options(), &BROKEN).expect_err("a broken step");
    let catalog = open(&path, &options(), TODAY).expect("the older program goes on");
    let half = |tx: &mut Tx<'_>| tx.any("SELECT 1 FROM sqlite_master WHERE name = 'half'", values![]);
    assert!(!catalog.engine().read(Kind::Read, half).await.expect("answered"));
}

#[tokio::test]
async fn a_catalog_for_reading_takes_no_writes_and_no_migration() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let catalog = open(&path, &options(), TODAY).expect("a new catalog opens");
    catalog.put_manifest(manifest("a", 1, vec![], &["t"])).await.expect("pushed");
    catalog.close().await;
    let read_only = Options { read_only: true, ..options() };
    let catalog = open(&path, &read_only, TODAY).expect("it opens");
    assert!(catalog.tags(&name("a"), None, 9).await.expect("listed").is_some());
    assert!(matches!(catalog.check_writable().await, Err(Error::ReadOnly)));
    catalog.close().await;
    open(&path, &read_only, &TOMORROW).expect_err("a step is missing");
}

#[tokio::test]
async fn the_catalogs_files_are_their_owners_alone_and_the_log_is_gone_after_a_close() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = on_disk(folder.path()).await;
    catalog.put_manifest(manifest("a", 1, vec![], &["t"])).await.expect("pushed");
    for file in std::fs::read_dir(folder.path()).expect("listed") {
        let file = file.expect("an entry");
        assert_eq!(file.metadata().expect("its mode").permissions().mode() & 0o077, 0, "{:?}", file.file_name());
    }
    assert!(catalog.statistics().wal_bytes > 0);
    catalog.close().await;
    assert!(!folder.path().join("catalog.db-wal").exists());
    let again = on_disk(folder.path()).await;
    assert!(again.tags(&name("a"), None, 9).await.expect("listed").is_some());
}

/// Somebody's own copy, say: it reads from the log, so the log stays, and the end does not wait for it.
#[tokio::test]
async fn a_reader_from_outside_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = on_disk(folder.path()).await;
    catalog.put_manifest(manifest("a", 1, vec![], &["t"])).await.expect("pushed");
    let outside = rusqlite::Connection::open(folder.path().join("catalog.db")).expect("opened");
    outside.execute_batch("BEGIN; SELECT count(*) FROM tags").expect("a read transaction");
    catalog.put_manifest(manifest("a", 2, vec![], &["u"])).await.expect("pushed");
    let begun = Instant::now();
    catalog.close().await;
    assert!(begun.elapsed() < options().busy_timeout, "it took {:?}", begun.elapsed());
    let again = on_disk(folder.path()).await;
    assert_eq!(again.tags(&name("a"), None, 9).await.expect("listed").expect("there").items.len(), 2);
    outside.execute_batch("COMMIT").expect("ended");
}

/// Lets the writer's database grow to so many pages at most.
async fn limit_pages(catalog: &Catalog, pages: Option<i64>) {
    let work = move |tx: &mut Tx<'_>| {
        let Tx::Sqlite(connection) = tx else { return Ok(()) };
        let now: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let most = pages.map_or(1 << 30, |more| now + more);
        connection.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(()))?;
        Ok(())
    };
    catalog.engine().write(Kind::Shrink, work).await.expect("limited");
}

async fn push_large(catalog: &Catalog, number: u64) -> Result<()> {
    let bytes = vec![b'x'; 200_000].into();
    let tag = format!("t{number}");
    catalog.put_manifest(PutManifest { bytes, ..manifest("a", number, vec![], &[&tag]) }).await.map(drop)
}

/// Behaviour §6.
#[tokio::test]
async fn a_full_disk_refuses_and_heals_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = on_disk(folder.path()).await;
    push_large(&catalog, 1).await.expect("pushed");
    limit_pages(&catalog, Some(20)).await;
    assert!(matches!(push_large(&catalog, 2).await, Err(Error::Full)));
    assert!(matches!(push_large(&catalog, 3).await, Err(Error::Full)));
    let tags = catalog.tags(&name("a"), None, 9).await.expect("reads go on").expect("the repository");
    assert_eq!(tags.items, [tag("t1")], "nothing of the refused pushes is there");
    catalog.delete_tag(&name("a"), &tag("t1"), stamp(2)).await.expect("deletes go on");
    limit_pages(&catalog, None).await;
    push_large(&catalog, 2).await.expect("there is space again");
    assert_eq!(integrity(&catalog).await, "ok");
}

/// Behaviour §6: the reserve is for what gives room back.
#[tokio::test]
async fn the_reserve_is_released_when_the_disk_is_full_and_taken_back_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let options = Options { ballast: 1 << 20, ..options() };
    let catalog = Catalog::open_sqlite(&path, &options).await.expect("a catalog opens");
    let reserve = path.with_extension("ballast");
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&reserve).expect("the reserve"));
    assert!(blocks * 512 >= 1 << 20, "it has real blocks");
    push_large(&catalog, 1).await.expect("pushed");
    limit_pages(&catalog, Some(20)).await;
    assert!(matches!(push_large(&catalog, 2).await, Err(Error::Full)));
    assert!(!reserve.exists());
    assert!(catalog.statistics().reserve_spent);
    limit_pages(&catalog, None).await;
    assert!(matches!(push_large(&catalog, 2).await, Err(Error::Full)), "the reserve is not for pushes");
    catalog.delete_tag(&name("a"), &tag("t1"), stamp(2)).await.expect("but for deletes");
    let begun = Instant::now();
    while let Err(error) = push_large(&catalog, 2).await {
        assert!(matches!(error, Error::Full) && begun.elapsed() < Duration::from_secs(10), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(reserve.exists() && !catalog.statistics().reserve_spent);
}

/// Behaviour §6: who finds the disk full first and may use the reserve is served from it, not refused.
#[tokio::test]
async fn what_may_use_the_reserve_is_not_refused_by_the_fault_that_releases_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let options = Options { ballast: 1 << 20, ..options() };
    let catalog = Catalog::open_sqlite(&path, &options).await.expect("a catalog opens");
    let tries = Arc::new(AtomicU64::new(0));
    let work = {
        let tries = Arc::clone(&tries);
        move |_: &mut Tx<'_>| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Fault::Error(Error::Full)),
            _ => Ok(()),
        }
    };
    catalog.engine().write(Kind::Shrink, work.clone()).await.expect("served from the reserve");
    assert!(catalog.statistics().reserve_spent);
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    tries.store(0, Ordering::SeqCst);
    let again = catalog.engine().write(Kind::Shrink, work).await;
    assert!(matches!(again, Err(Error::Full)), "a spent reserve gives nothing more: {again:?}");
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

/// A folder of this test's own on a small file system; `None` where this process only waits for the one that has it.
fn small_file_system(test: &str) -> Option<PathBuf> {
    const VARIABLE: &str = "LARDER_TEST_SMALL_FILE_SYSTEM";
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return Some(folder.into());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=16m tmpfs \"$1\" && shift && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(VARIABLE, folder.path())
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("unshare is installed").success());
    None
}

/// Behaviour §6: what serves pulls can be started again, also when not a byte is left.
#[tokio::test]
#[ignore = "needs to mount a tmpfs"]
async fn a_catalog_opens_on_a_full_disk_by_its_reserve() {
    let test = "engine::tests::a_catalog_opens_on_a_full_disk_by_its_reserve";
    let Some(folder) = small_file_system(test) else { return };
    let (path, options) = (folder.join("catalog.db"), Options { ballast: 1 << 20, ..options() });
    let catalog = Catalog::open_sqlite(&path, &options).await.expect("a catalog opens");
    push_large(&catalog, 1).await.expect("pushed");
    catalog.close().await;
    let filler = folder.join("filler");
    let full = std::io::copy(&mut std::io::repeat(1), &mut std::fs::File::create(&filler).expect("a file"));
    assert_eq!(full.expect_err("an end").kind(), std::io::ErrorKind::StorageFull);
    let catalog = Catalog::open_sqlite(&path, &options).await.expect("it opens on a full disk");
    assert!(catalog.statistics().reserve_spent && !path.with_extension("ballast").exists());
    assert!(catalog.tags(&name("a"), None, 9).await.expect("reads go on").is_some());
    catalog.delete_tag(&name("a"), &tag("t1"), stamp(2)).await.expect("deletes go on");
    assert!(matches!(push_large(&catalog, 2).await, Err(Error::Full)));
    std::fs::remove_file(filler).expect("room");
    tokio::time::sleep(Duration::from_millis(600)).await;
    push_large(&catalog, 2).await.expect("there is space again");
    assert!(path.with_extension("ballast").exists() && !catalog.statistics().reserve_spent);
}

/// Behaviour §6: the process ends and recovers at its next start.
#[tokio::test]
async fn a_broken_database_ends_the_catalog() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let catalog = on_disk(folder.path()).await;
    for number in 0..600 {
        catalog.put_manifest(manifest("a", number, vec![], &[&format!("t{number}")])).await.expect("pushed");
    }
    catalog.close().await;
    let log = std::fs::metadata(folder.path().join("catalog.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "after the end the file is the catalog");
    let mut bytes = std::fs::read(&path).expect("read");
    // The first pages are the schema and the roots of its tables; what is below them is lost.
    bytes[160 * 4096..].fill(0xab);
    std::fs::write(&path, bytes).expect("written");
    let catalog = on_disk(folder.path()).await;
    let mut outcome = Ok(());
    // What is there already is looked for in every corner; new rows might all find a place in what is left.
    for number in 0..600 {
        outcome = catalog.put_manifest(manifest("a", number, vec![], &[&format!("t{number}")])).await.map(drop);
        if outcome.is_err() {
            break;
        }
    }
    assert!(matches!(outcome, Err(Error::Fatal(_))), "{outcome:?}");
    let reason = tokio::time::timeout(Duration::from_secs(5), catalog.fatal()).await.expect("told at once");
    assert!(reason.contains("malformed"), "{reason}");
    assert!(matches!(catalog.check_writable().await, Err(Error::Fatal(_))), "nothing more is written");
    catalog.close().await;
}

/// On both kinds of connection, whatever was bound before.
#[tokio::test]
async fn a_statement_is_compiled_once() {
    let f = Fixture::disk().await;
    let work = |tx: &mut Tx<'_>| {
        let mut found = 0;
        let sql = "SELECT id FROM digests WHERE digest = $1 AND id > $2";
        for number in 0..5 {
            found += i32::from(tx.any(sql, values![&crate::keys::encode(&digest(number)), i64::MAX >> number])?);
        }
        let Tx::Sqlite(connection) = tx else { return Ok((found, 0)) };
        let statement = connection.prepare_cached(sql)?;
        Ok((found, statement.get_status(rusqlite::StatementStatus::RePrepare)))
    };
    assert_eq!(f.engine().write(Kind::Grow, work).await.expect("answered"), (0, 0));
    for _ in 0..40 {
        assert_eq!(f.engine().read(Kind::Read, work).await.expect("answered"), (0, 0));
    }
}

/// The log is moved by the second connection, and is begun anew after that.
#[tokio::test]
async fn a_long_log_is_moved_in_the_background() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = on_disk(folder.path()).await;
    let begun = Instant::now();
    let mut number = 0;
    while catalog.statistics().checkpoints == 0 {
        let bytes = vec![b'x'; 2 << 20].into();
        catalog.put_manifest(PutManifest { bytes, ..manifest("a", number, vec![], &["t"]) }).await.expect("pushed");
        number += 1;
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint after {number} manifests of 2 MiB");
    }
    let before = catalog.statistics().wal_bytes;
    catalog.put_manifest(manifest("a", 9_999, vec![], &["t"])).await.expect("pushed");
    assert!(catalog.statistics().wal_bytes <= before + (4 << 20), "the log does not go on growing");
    assert!(std::fs::metadata(folder.path().join("catalog.db")).expect("the database").len() > 16 << 20);
}

#[test]
fn digests_are_stored_in_their_own_order() {
    use larder_oci::{Algorithm, Digest};
    let wide = |byte| Digest::new(Algorithm::Sha512, &[byte; 64]).expect("a digest");
    let mut digests = [digest(1), digest(2), digest(3), wide(0), wide(255)];
    digests.sort();
    let keys: Vec<_> = digests.iter().map(|digest| crate::keys::encode(digest).as_slice().to_vec()).collect();
    assert!(keys.is_sorted());
    for (digest, key) in digests.iter().zip(&keys) {
        assert_eq!(crate::keys::decode(key).as_ref(), Some(digest));
    }
    assert_eq!(crate::keys::decode(&[1, 2, 3]), None);
    assert_eq!(crate::keys::decode(&[]), None);
}
