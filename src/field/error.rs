//! Why a set of declarations is refused.

/// Declared fields that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// More than [`MAX_FIELDS`](super::MAX_FIELDS), or none.
    #[error("fields: expected 1 to {limit}, got {got}")]
    Count {
        /// The limit.
        limit: usize,
        /// How many there are.
        got: usize,
    },
    /// A field without a name.
    #[error("field number {number}: expected a name, got none")]
    Unnamed {
        /// Its place, from 1.
        number: usize,
    },
    /// A name that two fields have.
    #[error("field {name:?}: expected a name of its own, got that of another field")]
    Twice {
        /// The name.
        name: String,
    },
    /// A name that no field has.
    #[error("field {name:?}: expected one of the declared fields ({known}), got another")]
    Unknown {
        /// The name.
        name: String,
        /// The declared ones.
        known: String,
    },
    /// A path that is none.
    #[error("field {field:?}: {option}: expected keys joined by dots, got {path:?}")]
    Path {
        /// The field.
        field: String,
        /// The option.
        option: &'static str,
        /// What was given.
        path: String,
    },
    /// An option outside its range, or one that fields of this kind do not have.
    #[error("field {field:?}: {option}: expected {expected}, got {got}")]
    Option {
        /// The field.
        field: String,
        /// The option.
        option: &'static str,
        /// Its range.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Two fields that share a table and do not agree about it.
    #[error(
        "field {field:?}: {option}: expected {expected} as field {other:?} of the same table {table:?}, got {got}"
    )]
    Table {
        /// The field.
        field: String,
        /// The option in which they differ.
        option: &'static str,
        /// What the other one has.
        expected: String,
        /// The other one.
        other: String,
        /// The table.
        table: String,
        /// What the field has.
        got: String,
    },
    /// Paths of which one makes nonsense of the other: something below a single value, a list in a list.
    #[error(
        "field {field:?}: path {path:?}: expected no field there, since {other:?} at {place:?} is {what}"
    )]
    Overlap {
        /// The field.
        field: String,
        /// Its path.
        path: String,
        /// The other one.
        other: String,
        /// Its path.
        place: String,
        /// What that one is.
        what: String,
    },
}
