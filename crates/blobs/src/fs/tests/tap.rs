//! Sees every call that changes the folder, and may answer it instead of the operating system.

use std::sync::Mutex;

use rustix::io::Errno;

use crate::fs::disk::Call;
use crate::fs::session::lock;

type Hook = Box<dyn FnMut(Call, &str) -> Option<Errno> + Send>;

#[derive(Default)]
pub(in crate::fs) struct Tap(Mutex<Option<Hook>>);

impl Tap {
    pub(in crate::fs) fn set(&self, hook: impl FnMut(Call, &str) -> Option<Errno> + Send + 'static) {
        *lock(&self.0) = Some(Box::new(hook));
    }

    pub(in crate::fs) fn clear(&self) {
        *lock(&self.0) = None;
    }

    pub(in crate::fs) fn call(&self, call: Call, path: &str) -> rustix::io::Result<()> {
        match lock(&self.0).as_mut().and_then(|hook| hook(call, path)) {
            Some(errno) => Err(errno),
            None => Ok(()),
        }
    }
}
