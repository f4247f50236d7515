//! Rules at the door: what may be pushed, moved, removed and pulled, as a pure function of facts.
//!
//! Nothing in [`judge`](judge::judge), in `alias` and in `read` knows a clock, a catalog or a store: the same facts get the same answer. `content` and
//! `texts` read the facts; about what may change until the commit, `door` is asked inside the transaction. What a scan finds will be a further
//! part of [`Content`].

mod alias;
mod content;
mod door;
mod heard;
mod judge;
mod latest;
mod read;
mod rule;
mod signature;
mod texts;
mod trial;

pub use door::Act;
pub(crate) use door::unchanged;
pub(crate) use heard::Heard;
pub(crate) use judge::is_companion;
pub use judge::{Change, Content, judge};
pub use larder_catalog::model::rules::{Asked, Judgement, Standing, TagPlace, Told};
pub use latest::{TagNow, current_version};
pub use read::read;
pub use rule::{
    Aliases, Immutable, Latest, Level, MediaTypes, Platforms, Required, Rules, Shape, Signature, Size, TagForms,
};
pub use signature::Key;
pub use texts::{Effective, RulesText, RulesView};
pub use trial::{Trial, Tried};
