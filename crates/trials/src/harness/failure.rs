//! Why a case failed, in words for whoever reads the table.

/// One reason, with what it was about in front.
///
/// It is deliberately no `std::error::Error`, so that `?` can turn every error into one.
#[derive(Debug)]
pub struct Failure(String);

/// What a step of a case gives.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure in these words.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            words.push_str(": ");
            words.push_str(&inner.to_string());
            source = inner.source();
        }
        Self(words)
    }
}

/// Says what was being done when something failed.
pub trait During<T> {
    /// Puts `what` before the reason.
    fn during(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<Failure>> During<T> for Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure::new(format!("{}: {}", what(), error.into())))
    }
}

impl<T> During<T> for Option<T> {
    fn during(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.ok_or_else(|| Failure::new(what()))
    }
}

/// Fails with the given words unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::harness::Failure::new(format!($($words)+)));
        }
    };
}

/// Fails unless both sides are equal, and shows both.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($words:tt)+) => {
        // `match` keeps temporaries alive for as long as they are compared.
        match (&$left, &$right) {
            (left, right) => {
                if left != right {
                    return Err($crate::harness::Failure::new(format!(
                        "{}: {left:?} is not {right:?}",
                        format_args!($($words)+)
                    )));
                }
            }
        }
    };
}
