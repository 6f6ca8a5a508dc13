//! Memory for the sums of parts of uses: what a row's rest adds to it, as uses of that row.

use super::CudaError;
use super::machine::Machine;

/// Levels of sums: 2^32 uses have 2^27 parts, which have 2^22, …, 4, and these are one part.
const LEVELS: usize = 7;

/// Sums of parts, of parts of these, and so on; made where they are first needed.
#[derive(Debug)]
pub(super) struct Sums<M: Machine>(pub(super) [Option<Level<M>>; LEVELS]);

impl<M: Machine> Default for Sums<M> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| None))
    }
}

/// Sums of parts `[room, dim]`, as uses of the rows that they are of.
#[derive(Debug)]
pub(super) struct Level<M: Machine> {
    room: u32,
    pub(super) slots: M::Memory,
    pub(super) records: M::Memory,
    pub(super) values: M::Memory,
    pub(super) sums: M::Memory,
}

impl<M: Machine> Level<M> {
    fn new(machine: &M, room: u32, dim: usize) -> Result<Self, CudaError> {
        let words = |count: usize| machine.zeroed(4 * count);
        let each = room as usize;
        Ok(Self {
            room,
            slots: words(each)?,
            records: words(each)?,
            values: words(each)?,
            sums: words(each * dim)?,
        })
    }

    /// With room for `parts` sums.
    pub(super) fn with_room<'l>(
        level: &'l mut Option<Self>,
        machine: &M,
        (parts, dim): (u32, usize),
    ) -> Result<&'l mut Self, CudaError> {
        let made = match level.take() {
            Some(level) if level.room >= parts => level,
            _ => Self::new(machine, parts.checked_next_power_of_two().unwrap_or(parts), dim)?,
        };
        Ok(level.insert(made))
    }
}
