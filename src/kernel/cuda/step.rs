//! The way back: rows moved by the gradients of the records that used them.
//!
//! A row is moved once for each time it was used, in the order of the batch. Rows that are used by most records would keep one group of
//! threads busy while the device waits: [`Move::AddInParts`] sums what they are used for in parts, and the sums in parts again, until
//! there is one part.

use super::batch::{DeviceBatch, Uses};
use super::error::expect;
use super::launch::{Groups, parts};
use super::machine::{Arg, Kernel, Machine};
use super::rows::{DeviceRows, FtrlConstants, RowsShape};
use super::sums::Level;
use super::{CudaError, DeviceVectors, program};

/// How a row answers `slope`, the record's gradient, for a feature of value x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Move {
    /// w += (rate · x) · slope, in f32.
    Add {
        /// The rate.
        rate: f32,
    },
    /// The same, with the uses of a row that has many summed in parts first: faster where few rows are used by many records, and the
    /// same bits in every run, but not those of the CPU. A sum that f32 cannot hold in all of a row counts as one dropped step.
    AddInParts {
        /// The rate.
        rate: f32,
    },
    /// [`Sgd`](crate::optim::Sgd).
    Sgd {
        /// Step size.
        rate: f64,
        /// L1 regularization.
        l1: f64,
        /// L2 regularization.
        l2: f64,
    },
    /// [`Adagrad`](crate::optim::Adagrad): two floats a weight.
    Adagrad {
        /// Step size.
        rate: f64,
        /// L1 regularization.
        l1: f64,
        /// L2 regularization.
        l2: f64,
    },
    /// [`Ftrl`](crate::optim::Ftrl): two floats a weight.
    Ftrl(FtrlConstants),
}

impl Move {
    fn floats(self) -> usize {
        match self {
            Self::Add { .. } | Self::AddInParts { .. } | Self::Sgd { .. } => 1,
            Self::Adagrad { .. } | Self::Ftrl(_) => 2,
        }
    }

    /// The same with steps of size `rate`, where it is not a constant of the rule.
    pub fn at(self, rate: f64) -> Self {
        match self {
            Self::Sgd { l1, l2, .. } => Self::Sgd { rate, l1, l2 },
            Self::Adagrad { l1, l2, .. } => Self::Adagrad { rate, l1, l2 },
            Self::Add { .. } | Self::AddInParts { .. } | Self::Ftrl(_) => self,
        }
    }

    /// The kernels of a row's first uses and of its rest.
    fn kernels(self) -> [&'static str; 2] {
        match self {
            Self::Add { .. } | Self::AddInParts { .. } => [program::MOVE_ADD, program::REST_ADD],
            Self::Sgd { .. } => [program::MOVE_SGD, program::REST_SGD],
            Self::Adagrad { .. } => [program::MOVE_ADAGRAD, program::REST_ADAGRAD],
            Self::Ftrl(_) => [program::MOVE_FTRL, program::REST_FTRL],
        }
    }

    /// The kernels' last arguments.
    fn constants<'a, M>(self) -> Vec<Arg<'a, M>> {
        match self {
            Self::Add { rate } | Self::AddInParts { rate } => vec![Arg::F32(rate)],
            Self::Sgd { rate, l1, l2 } | Self::Adagrad { rate, l1, l2 } => {
                vec![Arg::F64(rate), Arg::F64(l1), Arg::F64(l2)]
            }
            Self::Ftrl(constants) => constants.args().into(),
        }
    }
}

/// Uses by slot, the vectors that they name, and how many uses there are.
#[derive(Debug)]
struct Given<'b, M: Machine> {
    uses: Uses<'b, M>,
    above: &'b M::Memory,
    n: u32,
}

impl<'b, M: Machine> Given<'b, M> {
    /// The first `n` sums of a level.
    fn sums(level: &'b Level<M>, n: u32) -> Self {
        let Level { slots, records, values, sums, .. } = level;
        Self { uses: Uses { slots, records, values }, above: sums, n }
    }

    /// Arguments of kernels of both kinds.
    fn args<'a>(&'a self, dropped: &'a mut M::Memory, dim: usize, group: u32) -> [Arg<'a, M::Memory>; 8] {
        let Uses { slots, records, values } = self.uses;
        [
            Arg::Read(slots),
            Arg::Read(records),
            Arg::Read(values),
            Arg::Read(self.above),
            Arg::Write(dropped),
            Arg::U32(self.n),
            Arg::U32(dim as u32),
            Arg::U32(group),
        ]
    }
}

impl<M: Machine> DeviceRows<M> {
    /// Moves the rows of `batch`, given the gradients `above` `[records, dim]` of its sums: each row once for each time it was used,
    /// in the order of the batch, whatever the order of threads. A step that f32 cannot hold in all of a row is dropped and
    /// counted ([`DeviceRows::dropped`]).
    ///
    /// # Errors
    /// Slots beyond the rows, memory of another device, another shape of `above`, a rule for another number of floats; no room; the
    /// device failed.
    pub fn step(
        &mut self,
        batch: &mut DeviceBatch<M>,
        rule: Move,
        above: &DeviceVectors<M>,
    ) -> Result<(), CudaError> {
        let RowsShape { rows, dim, floats } = self.shape;
        self.expect_here(batch, above)?;
        expect("dim of gradients", dim, above.dim())?;
        expect("gradients", batch.records(), above.records())?;
        expect("floats of a weight", rule.floats(), floats)?;
        let n = batch.features() as u32;
        let given = Given { uses: batch.ordered(rows)?, above: &above.memory, n };
        match rule {
            _ if n == 0 => Ok(()),
            Move::AddInParts { rate } => self.add_in_parts(given, rate),
            _ => self.move_all(&given, rule),
        }
    }

    /// First uses, then rests, use after use.
    fn move_all(&mut self, given: &Given<'_, M>, rule: Move) -> Result<(), CudaError> {
        let [first, rest] = rule.kernels();
        self.launch_move(first, given.n, given, rule)?;
        let parts = parts(given.n);
        if parts > 1 { self.launch_move(rest, parts, given, rule) } else { Ok(()) }
    }

    /// First uses, then the sums of rests as uses of the same rows.
    fn add_in_parts(&mut self, given: Given<'_, M>, rate: f32) -> Result<(), CudaError> {
        let mut sums = std::mem::take(&mut self.sums);
        let (mut given, mut rate) = (given, rate);
        for level in &mut sums.0 {
            self.launch_move(program::MOVE_ADD, given.n, &given, Move::Add { rate })?;
            let parts = parts(given.n);
            if parts == 1 {
                break;
            }
            let level = Level::with_room(level, &*self.machine, (parts, self.shape.dim))?;
            self.launch_sums(level, parts, &given, rate)?;
            (given, rate) = (Given::sums(level, parts), 1.0);
        }
        self.sums = sums;
        Ok(())
    }

    /// Starts `kernel` with as many `groups` of threads.
    fn launch_move(
        &mut self,
        kernel: &'static str,
        groups: u32,
        given: &Given<'_, M>,
        rule: Move,
    ) -> Result<(), CudaError> {
        let Groups { group, vectors } = self.groups;
        let mut args = vec![Arg::Write(&mut self.table), Arg::Write(&mut self.touched)];
        args.extend(given.args(&mut self.dropped, self.shape.dim, group));
        args.extend(rule.constants());
        let blocks = self.groups.blocks(groups);
        // SAFETY: there are `n` uses, slots below the rows or of no sum, records below those of `above`; a row has the rule's floats.
        unsafe { self.machine.launch(Kernel::varying(kernel, vectors), blocks, &mut args) }
    }

    fn launch_sums(
        &mut self,
        level: &mut Level<M>,
        parts: u32,
        given: &Given<'_, M>,
        rate: f32,
    ) -> Result<(), CudaError> {
        let Groups { group, vectors } = self.groups;
        let Level { slots, records, values, sums, .. } = level;
        let mut args: Vec<_> = [slots, records, values, sums].map(Arg::Write).into();
        args.extend(given.args(&mut self.dropped, self.shape.dim, group));
        args.push(Arg::F32(rate));
        let blocks = self.groups.blocks(parts);
        // SAFETY: as above; there is room for a sum a part.
        unsafe { self.machine.launch(Kernel::varying(program::SUM_PARTS, vectors), blocks, &mut args) }
    }
}
