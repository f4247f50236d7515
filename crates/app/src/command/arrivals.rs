//! What became of each reference that something was sent to: one line and one result each (case 13).

use larder_client::{Arrived, Error, Outcome, Position};
use larder_oci::ImageReference;
use serde::Serialize;

use crate::context::{Context, Output};
use crate::outcome::{Exit, Failure, Result};

use super::registry_args::exit_of;

/// The result of one reference, as scripts read it.
#[derive(Debug, Serialize)]
struct Arrival {
    /// Where to.
    reference: String,
    /// `done` or `failed`.
    result: &'static str,
    /// The digest that the reference points at now.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// What the registry warned of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Arrival {
    fn new(reference: &ImageReference, result: &larder_client::Result<Arrived>) -> Self {
        let reference = reference.to_string();
        match result {
            Ok(arrived) => Self {
                reference,
                result: "done",
                digest: Some(arrived.digest.to_string()),
                warnings: arrived.warnings.clone(),
                error: None,
            },
            Err(error) => {
                Self { reference, result: "failed", digest: None, warnings: Vec::new(), error: Some(error.to_string()) }
            }
        }
    }
}

/// Prints what became of all `references`. One that failed is the command's failure with its own exit code; of several, some of which
/// failed, the exit code is 1.
pub fn report(
    references: &[ImageReference],
    positions: &[Position],
    outcomes: &[Outcome],
    context: &Context,
) -> Result {
    let results: Vec<_> = positions.iter().map(|(destination, name)| &outcomes[*destination].names[*name]).collect();
    let arrivals: Vec<Arrival> = references.iter().zip(&results).map(|(at, result)| Arrival::new(at, result)).collect();
    let (done, failed): (Vec<&Arrival>, Vec<&Arrival>) = arrivals.iter().partition(|arrival| arrival.error.is_none());
    for arrival in &done {
        arrival.warnings.iter().for_each(|warning| context.note(format_args!("{}: {warning}", arrival.reference)));
    }
    if context.output() == Output::Text {
        context.emit_list(&done, |out| {
            done.iter().try_for_each(|arrival| {
                writeln!(out, "{} {}", arrival.reference, arrival.digest.as_deref().unwrap_or_default())
            })
        })?;
    } else {
        context.emit_list(&arrivals, |_| Ok(()))?;
    }
    let errors: Vec<&Error> = results.into_iter().filter_map(|result| result.as_ref().err()).collect();
    match (errors.as_slice(), references.len()) {
        ([], _) => Ok(()),
        ([error], 1) => Err(Failure::from((*error).clone())),
        _ => {
            for arrival in failed {
                let error = arrival.error.as_deref().unwrap_or_default();
                context.warn(format_args!("larder: {}: {error}", arrival.reference));
            }
            let same = errors.len() == references.len() && errors.iter().all(|e| exit_of(e) == exit_of(errors[0]));
            Err(Failure::reported(if same { exit_of(errors[0]) } else { Exit::Failed }))
        }
    }
}
