//! A client of the distribution protocol.
