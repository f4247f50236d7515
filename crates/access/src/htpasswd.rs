//! A password file as Apache's `htpasswd -B` writes it, read again when it changes.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::OpenError;
use crate::password::MAX_BCRYPT_COST;

/// A larger one is not a password file.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The file is looked at no more often than this.
const LOOK: Duration = Duration::from_millis(500);

/// The users of a password file.
#[derive(Debug)]
pub(crate) struct Htpasswd {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    users: Arc<Users>,
    seen: Option<Seen>,
    looked: Instant,
    readings: u64,
}

/// What tells one state of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Seen {
    fn from(of: &Metadata) -> Self {
        Self {
            inode: of.ino(),
            size: of.size(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        }
    }
}

/// Names and their bcrypt hashes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Users {
    hashes: HashMap<String, String>,
    /// The cost that most of them have: what an unknown one has to cost.
    cost: u32,
}

impl Users {
    pub(crate) fn hash(&self, user: &str) -> Option<&str> {
        self.hashes.get(user).map(String::as_str)
    }

    pub(crate) fn cost(&self) -> u32 {
        self.cost
    }

    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.hashes.keys().cloned().collect();
        names.sort_unstable();
        names
    }
}

impl Htpasswd {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`OpenError::Htpasswd`] if it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let wrong =
            |error: std::io::Error| OpenError::Htpasswd { path: path.display().to_string(), reason: error.to_string() };
        let (users, seen) = read(path).map_err(wrong)?;
        let state = State { users: Arc::new(users), seen: Some(seen), looked: Instant::now(), readings: 1 };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// The users now. What cannot be read leaves those of before, and is logged.
    ///
    /// Blocks for a `stat`, and for reading where the file has changed.
    pub(crate) fn users(&self) -> Arc<Users> {
        Arc::clone(&self.current().users)
    }

    /// Counts up when the file was read again.
    pub(crate) fn readings(&self) -> u64 {
        self.current().readings
    }

    fn current(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect("no panic happens under this lock");
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        state
    }

    fn look(&self, state: &mut State) {
        let seen = std::fs::metadata(&self.path).ok().map(|metadata| Seen::from(&metadata));
        if seen == state.seen {
            return;
        }
        match read(&self.path) {
            Ok((users, seen)) => {
                tracing::info!(path = %self.path.display(), users = users.hashes.len(), "the password file has changed and was read again");
                (state.users, state.seen) = (Arc::new(users), Some(seen));
                state.readings += 1;
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the password file cannot be read: its users stay those of before");
                state.seen = seen;
            }
        }
    }
}

fn read(path: &Path) -> std::io::Result<(Users, Seen)> {
    let mut file = std::fs::File::open(path)?;
    let seen = Seen::from(&file.metadata()?);
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is larger than 16 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))?;
    Ok((parse(&text, path), seen))
}

/// Lines of `name:hash`. A line that cannot be used is logged by its number, never by its text.
fn parse(text: &str, path: &Path) -> Users {
    let mut users = Users::default();
    let mut costs = HashMap::<u32, usize>::new();
    for (number, line) in text.lines().enumerate().map(|(place, line)| (place + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match entry(line) {
            Ok((name, hash, cost)) => {
                *costs.entry(cost).or_default() += 1;
                users.hashes.insert(name, hash);
            }
            Err(reason) => {
                tracing::warn!(path = %path.display(), line = number, reason, "a line of the password file is not used")
            }
        }
    }
    users.cost = costs.into_iter().max_by_key(|(cost, count)| (*count, *cost)).map_or(10, |(cost, _)| cost);
    users
}

fn entry(line: &str) -> Result<(String, String, u32), &'static str> {
    let (name, hash) = line.split_once(':').ok_or("no colon")?;
    // Wider than an account's name: whoever could log in to the registry before can do so here.
    let is_name =
        (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'/'));
    if !is_name {
        return Err("the name has characters that Larder does not take");
    }
    let parts: bcrypt::HashParts = hash.parse().map_err(|_| "the hash is not bcrypt: use htpasswd -B")?;
    if !(4..=MAX_BCRYPT_COST).contains(&parts.get_cost()) {
        return Err("the hash's cost is more than 15");
    }
    Ok((name.to_owned(), hash.to_owned(), parts.get_cost()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "alice:$2y$05$8Rq1c1kpUOFrkZ3.sD1xWe0dEr8kYzGbmcQeTg8sHVpNGVzSYjoYu";

    impl Htpasswd {
        fn look_now(&self) -> Arc<Users> {
            self.state.lock().unwrap().looked = Instant::now().checked_sub(LOOK).unwrap();
            self.users()
        }
    }

    #[test]
    fn lines_that_do_not_do_are_left_out() {
        let bcrypt = ALICE.split_once(':').unwrap().1;
        let text = format!(
            "# people\n\n{ALICE}\r\n bob:{bcrypt} \nCarol:{bcrypt}\nmd5:$apr1$x$y\nplain:secret\nslow:$2y$31${}\nnocolon\na/b:{bcrypt}\n",
            &bcrypt[7..]
        );
        let users = parse(&text, Path::new("htpasswd"));
        assert_eq!(users.names(), ["Carol", "alice", "bob"]);
        assert_eq!(users.cost(), 5);
        assert_eq!(users.hash("alice"), Some(bcrypt));
        assert_eq!(users.hash("carol"), None);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_leaves_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        assert!(Htpasswd::open(&path).is_err(), "an absent one is an error at the start");
        std::fs::write(&path, ALICE).unwrap();
        let file = Htpasswd::open(&path).unwrap();
        assert_eq!(file.users().names(), ["alice"]);
        std::fs::write(&path, ALICE.replace("alice", "bobby")).unwrap();
        assert_eq!(file.look_now().names(), ["bobby"]);
        let other = folder.path().join("new");
        std::fs::write(&other, format!("{ALICE}\n{}", ALICE.replace("alice", "carol"))).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(file.look_now().names(), ["alice", "carol"], "replaced by a rename");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.look_now().names(), ["alice", "carol"], "gone: the old users stay");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(file.look_now().names(), ["alice", "carol"], "unreadable: the old users stay");
        std::fs::write(&path, "").unwrap();
        assert_eq!(file.look_now().names(), Vec::<String>::new(), "empty is a state like any other");
    }
}
