//! What may be said about a repository.

/// Bytes of the longest description.
pub(crate) const LONGEST: usize = 4_000;

/// Whether it can be a description.
///
/// # Errors
/// The sentence that says what it has to be.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let is_text = text.len() <= LONGEST && !text.contains(|c: char| c.is_control() && c != '\n');
    if is_text { Ok(()) } else { Err(format!("a description is text of at most {LONGEST} bytes")) }
}
