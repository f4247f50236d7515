//! What is wrong with a policy's text, told by rule and field.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which rule: its place in the list, counted from 1; `None` when the document is wrong.
    pub rule: Option<usize>,
    /// Which field: `selection.countNumber`; empty when the whole rule or document is wrong.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// Line and column, counted from 1, where the text is no JSON.
    pub place: Option<(usize, usize)>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        match (self.rule, self.field.as_str()) {
            (Some(rule), "") => write!(f, "rule {rule}: ")?,
            (Some(rule), field) => write!(f, "rule {rule}, {field}: ")?,
            (None, "") => {}
            (None, field) => write!(f, "{field}: ")?,
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
