//! What a network refuses. Whatever is refused has changed nothing.

/// A network that does not fit together, or inputs, targets or a state that do not fit the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Two fields or two parameters of one name.
    #[error("{what} {name:?} is declared twice")]
    Twice {
        /// `field` or `parameter`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A number of an option or a declaration outside its range.
    #[error("{name}: expected {expected}, got {got}")]
    Option {
        /// The option, or the field or parameter.
        name: String,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        got: f64,
    },
    /// A name that nothing has.
    #[error("there is no {what} {name:?}")]
    Unknown {
        /// `field`, `list` or `parameter`.
        what: &'static str,
        /// The name asked for.
        name: String,
    },
    /// A field of another kind than the network asks for, or values of another kind than the field's.
    #[error("field {name:?}: expected {expected}, got {got}")]
    Kind {
        /// The field.
        name: String,
        /// What was expected.
        expected: &'static str,
        /// What there is.
        got: &'static str,
    },
    /// Too many or too few values.
    #[error("{name}: expected {expected} values, got {got}")]
    Length {
        /// Of what: a field, a mask, targets, a parameter's state.
        name: String,
        /// How many, by the declaration and the rows.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A category that its field does not have.
    #[error("field {name:?}: expected a category below {count}, got {got}")]
    Category {
        /// The field.
        name: String,
        /// Categories of the field.
        count: u32,
        /// The category found.
        got: u32,
    },
    /// Outputs of another shape than was declared.
    #[error("outputs: expected shape {expected:?}, got {got:?}")]
    Outputs {
        /// The shape by [`Outputs`](super::Outputs).
        expected: Vec<usize>,
        /// The shape of the tensor.
        got: Vec<usize>,
    },
    /// A state whose parameters are not those of the network.
    #[error("state: expected parameter {expected:?}, got {got:?}")]
    State {
        /// Name and shape of the network's parameter, or none.
        expected: Option<(String, Vec<usize>)>,
        /// Name and shape found in the state, or none.
        got: Option<(String, Vec<usize>)>,
    },
    /// A state with a number that is NaN or infinite.
    #[error("state: parameter {name:?}: expected finite numbers, got {got} at {index}")]
    NotFinite {
        /// The parameter.
        name: String,
        /// Where in it, row-major.
        index: usize,
        /// What stands there.
        got: f32,
    },
    /// A network that no option names.
    #[error("this network is its program's own: give it when the model is loaded")]
    Custom,
    /// An operation on tensors that candle refused, mostly because their shapes do not fit.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
