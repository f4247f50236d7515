//! Files that perhaps only root may read, such as keys and password files, and that are read again after root was given up (case 9).
//!
//! A process that gave up root cannot take it back, which is the point of it. So one that begins as root leaves a small child behind that stays root,
//! may do nothing but read, and reads nothing but the files that were named at the start. It ends with its parent.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities};

use crate::outcome::Result;

/// A larger file is none of those that are meant.
const LARGEST: u64 = 16 << 20;

/// Options of the hidden command that the child runs.
#[derive(Args, Debug)]
pub struct ReaderArgs {
    /// The files
    pub files: Vec<PathBuf>,
}

/// Reads the files that it was made for. All clones are one.
#[derive(Clone)]
pub struct ProtectedFiles(Arc<Inner>);

struct Inner {
    files: Vec<PathBuf>,
    reader: Option<Mutex<Reader>>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState([i64; 6]);

impl FileState {
    fn of(facts: &Metadata) -> Self {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Self([
            signed(facts.ino()),
            signed(facts.size()),
            facts.mtime(),
            facts.mtime_nsec(),
            facts.ctime(),
            facts.ctime_nsec(),
        ])
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let numbers: Option<Vec<i64>> =
            std::str::from_utf8(text).ok()?.split(' ').map(|number| number.parse().ok()).collect();
        Some(Self(numbers?.try_into().ok()?))
    }
}

impl ProtectedFiles {
    /// For these files. When this process is root it starts the child; that must be before root is given up, and before any thread is made.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let wanted = geteuid().is_root() && !files.is_empty();
        let reader = wanted.then(|| Reader::start(&files)).and_then(io::Result::ok);
        Self(Arc::new(Inner { files, reader: reader.map(Mutex::new) }))
    }

    /// Reads one of the files. Blocks.
    pub fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        match read(file) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => self.ask("read", file).unwrap_or(Err(error)),
            outcome => outcome,
        }
    }

    /// The state that one of the files is in; `None` when it cannot be seen. Blocks.
    pub fn state(&self, file: &Path) -> Option<FileState> {
        match std::fs::metadata(file) {
            Ok(facts) => Some(FileState::of(&facts)),
            Err(_) => FileState::parse(&self.ask("state", file)?.ok()?),
        }
    }

    /// Whether this process may not read the file itself.
    pub fn is_beyond_us(&self, file: &Path) -> bool {
        self.0.reader.is_some() && matches!(File::open(file), Err(error) if error.kind() == ErrorKind::PermissionDenied)
    }

    /// Asks the child, if there is one and it knows the file.
    fn ask(&self, what: &str, file: &Path) -> Option<io::Result<Vec<u8>>> {
        let reader = self.0.reader.as_ref()?;
        let number = self.0.files.iter().position(|known| known == file)?;
        Some(reader.lock().unwrap_or_else(PoisonError::into_inner).ask(&format!("{what} {number}\n")))
    }
}

/// The child, seen from its parent.
struct Reader {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Reader {
    fn start(files: &[PathBuf]) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("read-protected-files")
            .arg("--")
            .args(files)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { child, questions: Some(questions), answers: BufReader::new(answers) })
    }

    fn ask(&mut self, question: &str) -> io::Result<Vec<u8>> {
        self.questions.as_mut().ok_or(ErrorKind::BrokenPipe)?.write_all(question.as_bytes())?;
        let mut head = String::new();
        self.answers.read_line(&mut head)?;
        if let Some(length) = head.strip_prefix("ok ").and_then(|length| length.trim_end().parse::<u64>().ok()) {
            let mut body = Vec::new();
            Read::by_ref(&mut self.answers).take(length.min(LARGEST)).read_to_end(&mut body)?;
            return Ok(body);
        }
        match head.strip_prefix("no ").and_then(|errno| errno.trim_end().parse().ok()) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Err(ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The end of its input is the end of the child.
        self.questions = None;
        let _ = self.child.wait();
    }
}

/// What the child does until its input ends.
pub fn serve(args: &ReaderArgs) -> Result {
    keep_reading_only();
    let (questions, mut answers) = (io::stdin().lock(), io::stdout().lock());
    for question in questions.lines() {
        let question = question?;
        let (what, number) = question.split_once(' ').unwrap_or_default();
        let file = number.parse::<usize>().ok().and_then(|number| args.files.get(number));
        let answer = match (what, file) {
            ("read", Some(file)) => read(file),
            ("state", Some(file)) => std::fs::metadata(file)
                .map(|facts| FileState::of(&facts).0.map(|number| number.to_string()).join(" ").into_bytes()),
            _ => Err(ErrorKind::InvalidInput.into()),
        };
        match answer {
            Ok(body) => {
                writeln!(answers, "ok {}", body.len())?;
                answers.write_all(&body)?;
            }
            Err(error) => {
                let unknown = rustix::io::Errno::IO.raw_os_error();
                writeln!(answers, "no {}", error.raw_os_error().unwrap_or(unknown))?;
            }
        }
        answers.flush()?;
    }
    Ok(())
}

/// Root's power over files stays, as far as this process has it; all other power goes. What cannot be given up is kept by a container anyway.
fn keep_reading_only() {
    let reading = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE;
    let kept = capabilities(None).map_or(CapabilitySet::empty(), |now| now.permitted & reading);
    let _ = clear_ambient_capability_set();
    let _ = set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    );
    let _ = rustix::thread::set_no_new_privs(true);
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    File::open(file)?.take(LARGEST + 1).read_to_end(&mut body)?;
    if body.len() as u64 > LARGEST { Err(ErrorKind::FileTooLarge.into()) } else { Ok(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_its_changes_are_seen() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("key");
        std::fs::write(&path, "one").expect("it can be written");
        // Without a child: the test program is none that could be one.
        let files = ProtectedFiles(Arc::new(Inner { files: vec![path.clone()], reader: None }));
        assert_eq!(files.read(&path).expect("it can be read"), b"one");
        let before = files.state(&path);
        assert_eq!(before, files.state(&path));
        std::fs::write(&path, "three").expect("it can be written");
        assert_ne!(before, files.state(&path));
        std::fs::remove_file(&path).expect("it can be removed");
        assert_eq!(files.state(&path), None);
        assert_eq!(files.read(&path).expect_err("it is gone").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_state_survives_its_way_through_a_pipe() {
        let facts = std::fs::metadata("/").expect("there is a root");
        let text = FileState::of(&facts).0.map(|number| number.to_string()).join(" ");
        assert_eq!(FileState::parse(text.as_bytes()), Some(FileState::of(&facts)));
        assert_eq!(FileState::parse(b"1 2 3"), None);
    }
}
