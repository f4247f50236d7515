//! Lifecycle policies: which images a repository lets go of, as a pure function of facts.
//!
//! The grammar is Amazon ECR's lifecycle policy, word for word, with keys of our own beside it (docs/reference/policies.md). Nothing in
//! [`read`](Policy::read), [`evaluate`](evaluate()) and [`preview`](preview()) knows a clock, a catalog or a store: the same facts give the same decisions. What reads the facts
//! and removes what goes is in `load` and `run`.

mod by_hand;
mod document;
mod evaluate;
mod facts;
mod load;
mod preview;
mod problem;
mod read;
mod rule;
mod run;
mod staged;
mod tag_pattern;
mod texts;
mod told;
mod translate;

pub use by_hand::{ByHand, Removed, Selected, Selection, Undone};
pub(crate) use document::Document;
pub use evaluate::{Decision, Evaluation, Stay, evaluate};
pub use facts::{Blob, Facts, Image};
pub use preview::{Going, Near, NearReason, Preview, preview};
pub use problem::{Problem, Problems};
pub use rule::{Act, Count, Policy, ProtectedStages, Rule, StorageClass, TagMatch, TagStatus};
pub use run::{PolicyReport, PolicyRound, PolicyRunView};
pub use tag_pattern::TagPattern;
pub(crate) use texts::specificity;
pub use texts::{PolicyText, PolicyView, ProtectedBy};
pub use told::{GoingImage, NearlyGoing, PolicyPreview, RuleName};
pub use translate::{Origin, Translated, translate};
