//! Promotion: which stages a repository has, what a version has to meet before it enters one, and its way in and out.
//!
//! What gates ask for is decided by [`check`], a pure function of [`Facts`]; the facts are read in one look, and the transaction that moves the stage
//! refuses when anything that the decision rests on has changed since.

mod approve;
mod document;
mod gates;
mod guard;
mod layout;
mod promote;
mod pulls;
mod refusal;
mod rollback;
mod sets;

pub use approve::{Approved, Approving};
pub use document::{Approvals, Gates, Shown, Stage, Stages, VersionGate};
pub use gates::{Check, Facts, Gate, Stay, Verified, check};
pub use promote::{Layer, Promote, Promoted};
pub(crate) use pulls::NotedPulls;
pub use pulls::StagePullView;
pub use refusal::Refusal;
pub use rollback::StageRollback;
pub use sets::{StageText, StageView, StagesView};
