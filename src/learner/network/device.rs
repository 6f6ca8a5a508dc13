//! A network's tables on a GPU, and its dense part, too, where candle computes there.
//!
//! What a field looks up is summed there, and its rows move there; vectors and gradients are copied, here or within the device as
//! [`Tensors`], no rows. All that reads tables
//! (checkpoints, norms, readers beside the learner) goes on reading the process's own: what has moved since is written back to them when somebody is
//! about to look. Rows are the same bits as on the CPU, so a model does not know where it was learned.
//!
//! The arm knows no [`Machine`]: [`DeviceTables`] stands between, so that what it is made of is named once, when rows are moved.

use super::NetworkArm;
use super::inputs::Uses;
use crate::batch::Slot;
use crate::embedding::set_learned;
use crate::kernel::cuda::{
    CudaError, DeviceBatch, DeviceRows, DeviceVectors, Machine, Move, Normal, RowsShape, Tensors, Weights,
};
use crate::learner::{Learner, LearnerError};
use crate::model::network::candle_core::Tensor;
use crate::model::network::{FieldKind, Values};
use crate::optim::{Init, Vectors};
use crate::sync::{Mutex, lock};
use crate::table::Table;
use std::sync::Arc;

/// Rows that are written to a table between two looks at whether its cut has room.
const ROWS_A_RUN: usize = 1 << 10;

/// The tables on a device. What has failed there once is not used again: its rows may be half-way.
pub(super) struct Placed(Mutex<State>);

struct State {
    tables: Box<dyn DeviceTables>,
    /// Rows may have moved since they were last written back.
    moved: bool,
    failed: Option<CudaError>,
}

/// What is asked of tables on a device. Fields are those of the network, by place.
trait DeviceTables: Send {
    /// Begins to sum what `uses` look up, for a field in the shape of `floats` floats. They are kept for the next step.
    fn look_up(&mut self, field: usize, uses: &Uses, floats: usize) -> Result<(), CudaError>;
    /// What the field looked up last, so many floats: here, for which it is waited, or there.
    fn take(&mut self, field: usize, floats: usize) -> Result<Values, CudaError>;
    /// Brings the gradients of what the field looked up last.
    fn bring(&mut self, field: usize, gradients: &Values) -> Result<(), CudaError>;
    /// Begins to move the rows that the field looked up last by the gradients that were brought.
    fn step(&mut self, field: usize, rate: f64) -> Result<(), CudaError>;
    /// How many steps f32 could not hold since this was last asked, or the rows were moved here.
    fn dropped(&mut self) -> Result<u64, CudaError>;
    /// Writes the rows that have moved since the last time to the process's tables.
    fn write_back(&mut self) -> Result<(), CudaError>;
}

impl Placed {
    fn new(tables: Box<dyn DeviceTables>) -> Self {
        Self(Mutex::new(State { tables, moved: false, failed: None }))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, CudaError>) -> Result<T, CudaError> {
        let mut state = lock(&self.0);
        if let Some(failed) = &state.failed {
            return Err(failed.clone());
        }
        let done = work(&mut state);
        state.failed = done.as_ref().err().cloned();
        done
    }

    /// Begins to sum what all fields look up, each in the shape of so many floats: copies and sums of one go beside those of others.
    pub(super) fn look_up<'u>(
        &self,
        fields: impl Iterator<Item = (&'u Uses, usize)>,
    ) -> Result<(), CudaError> {
        self.with(|state| {
            let mut fields = fields.enumerate();
            fields.try_for_each(|(field, (uses, floats))| state.tables.look_up(field, uses, floats))
        })
    }

    /// What field `field` looked up last, so many floats.
    pub(super) fn take(&self, field: usize, floats: usize) -> Result<Values, CudaError> {
        self.with(|state| state.tables.take(field, floats))
    }

    /// Moves the rows that all fields looked up last, one field after the other; returns how many steps f32 could not hold.
    pub(super) fn scatter(&self, gradients: &[Values], rate: f64) -> Result<u64, CudaError> {
        self.with(|state| {
            state.moved = true;
            // A copy waits for the kernels before it: so all copies come first.
            for (field, gradients) in gradients.iter().enumerate() {
                state.tables.bring(field, gradients)?;
            }
            (0..gradients.len()).try_for_each(|field| state.tables.step(field, rate))?;
            state.tables.dropped()
        })
    }

    /// Writes what has moved to the process's tables.
    pub(super) fn write_back(&self) -> Result<(), CudaError> {
        self.with(|state| {
            if state.moved {
                state.tables.write_back()?;
                state.moved = false;
            }
            Ok(())
        })
    }
}

/// The same for one kind of machine.
struct On<M: Machine> {
    rule: Move,
    weights: Weights,
    tables: Vec<RowsOf<M>>,
    /// By field of the network; none for one without a table.
    fields: Vec<Option<Looked<M>>>,
    list: Csr,
    /// How vectors and gradients go to and from candle, if it computes there.
    tensors: Option<Bridge<M>>,
}

/// What a machine with [`Tensors`] can do, for those that need not know that it has them.
struct Bridge<M: Machine> {
    take: fn(&DeviceVectors<M>) -> Result<Tensor, CudaError>,
    bring: fn(&mut DeviceVectors<M>, &Tensor) -> Result<(), CudaError>,
}

impl<M: Tensors> Bridge<M> {
    const OF: Self = Self { take: DeviceVectors::tensor, bring: DeviceVectors::set_tensor };
}

/// A table here and there.
struct RowsOf<M: Machine> {
    own: Arc<Table>,
    rows: DeviceRows<M>,
    /// Steps dropped by now that have been told.
    dropped: u64,
}

/// What a field looked up last.
struct Looked<M: Machine> {
    /// Its place among the tables.
    table: usize,
    dim: usize,
    batch: DeviceBatch<M>,
    /// Sums, then their gradients, `[places, dim]`.
    vectors: DeviceVectors<M>,
}

/// Uses in compressed sparse rows, one row a vector's place.
#[derive(Default)]
struct Csr {
    offsets: Vec<usize>,
    slots: Vec<u32>,
    values: Vec<f32>,
}

impl Csr {
    /// `uses` come in the order of their places; a place without any is padding, and has an empty row.
    ///
    /// # Errors
    /// They do not.
    fn fill(&mut self, uses: &Uses, (places, dim): (usize, usize)) -> Result<(), CudaError> {
        let Self { offsets, slots, values } = self;
        offsets.clear();
        slots.clear();
        values.clear();
        offsets.push(0);
        for used in uses.iter() {
            let rows = used.at / dim.max(1) + 1;
            if rows < offsets.len() || rows > places {
                let (expected, got) = (offsets.len() as u64, rows as u64);
                return Err(CudaError::Shape { what: "places in ascending order", expected, got });
            }
            offsets.resize(rows, slots.len());
            slots.push(used.slot.0);
            values.push(used.x);
        }
        offsets.resize(places + 1, slots.len());
        Ok(())
    }
}

impl<M: Machine> On<M> {
    /// All rows of the tables of `arm`, on `machine`.
    fn new(arm: &NetworkArm, machine: &Arc<M>, tensors: Option<Bridge<M>>) -> Result<Self, LearnerError> {
        let (rule, weights) = arm.rule.on_device().ok_or(LearnerError::AdamOnDevice)?;
        let tables = arm.tables.iter().map(|(_, table)| RowsOf::new(arm.rule, table, machine));
        let tables = tables.collect::<Result<Vec<_>, CudaError>>()?;
        let fields = arm.bindings.fields.iter().map(|binding| {
            let (Some(table), FieldKind::Sum { dim } | FieldKind::Stacked { dim, .. }) =
                (binding.table, binding.kind)
            else {
                return Ok(None);
            };
            let (batch, vectors) =
                (DeviceBatch::new(machine.clone())?, DeviceVectors::new(machine.clone(), dim)?);
            Ok(Some(Looked { table, dim, batch, vectors }))
        });
        let fields = fields.collect::<Result<_, CudaError>>()?;
        Ok(Self { rule, weights, tables, fields, list: Csr::default(), tensors })
    }
}

impl<M: Machine> RowsOf<M> {
    fn new(rule: Vectors, own: &Arc<Table>, machine: &Arc<M>) -> Result<Self, CudaError> {
        let options = own.options();
        let floats = rule.floats();
        let shape = RowsShape { rows: options.rows, dim: options.width / floats, floats };
        let normal = match options.init {
            Init::Normal { mean, scale, .. } => Some(Normal { mean, scale, seed: options.seed }),
            Init::Zeros => None,
        };
        let mut rows = DeviceRows::new(machine.clone(), shape, normal)?;
        set_learned(&mut rows, own)?;
        rows.forget_touched()?;
        Ok(Self { own: Arc::clone(own), rows, dropped: 0 })
    }

    /// Writes the rows that have moved since the last time, so that they count as changed for the next cut.
    fn write_back(&mut self) -> Result<(), CudaError> {
        let width = self.own.options().width;
        self.rows.take_touched(|slots, rows| {
            for (slots, rows) in slots.chunks(ROWS_A_RUN).zip(rows.chunks(ROWS_A_RUN * width)) {
                write(&self.own, slots, rows);
            }
            Ok::<(), CudaError>(())
        })?;
        self.rows.forget_touched()
    }
}

/// Replaces the rows of `slots`, which ascend, by `rows` `[slots, width]`.
fn write(table: &Table, slots: &[u32], rows: &[f32]) {
    while !table.make_room() {}
    let of = |slot: &u32| table.stripe_of(Slot(*slot));
    let rows: Vec<_> = slots.iter().zip(rows.chunks_exact(table.options().width)).collect();
    for rows in rows.chunk_by(|(a, _), (b, _)| of(a) == of(b)) {
        let Some(mut stripe) = rows.first().and_then(|(slot, _)| table.single(of(slot))) else { continue };
        for &(&slot, row) in rows {
            let to = stripe.row_mut(Slot(slot)).0;
            if to.len() == row.len() {
                to.copy_from_slice(row);
            }
        }
    }
}

impl<M: Machine + Send + Sync> DeviceTables for On<M> {
    fn look_up(&mut self, field: usize, uses: &Uses, floats: usize) -> Result<(), CudaError> {
        let Some(Some(field)) = self.fields.get_mut(field) else { return Ok(()) };
        let Some(table) = self.tables.get(field.table) else { return Ok(()) };
        self.list.fill(uses, (floats / field.dim.max(1), field.dim))?;
        field.batch.fill(&self.list.offsets, &self.list.slots, &self.list.values)?;
        if field.batch.features() == 0 {
            return Ok(());
        }
        table.rows.gather(&field.batch, self.weights, &mut field.vectors)
    }

    fn take(&mut self, field: usize, floats: usize) -> Result<Values, CudaError> {
        let looked = self.fields.get(field).and_then(Option::as_ref);
        let looked = looked.filter(|looked| looked.batch.features() > 0);
        if let (Some(looked), Some(tensors)) = (looked, &self.tensors) {
            return Ok(Values::Tensor((tensors.take)(&looked.vectors)?));
        }
        let mut sums = vec![0.0; floats];
        looked.map_or(Ok(()), |looked| looked.vectors.get(&mut sums))?;
        Ok(Values::Floats(sums))
    }

    fn bring(&mut self, field: usize, gradients: &Values) -> Result<(), CudaError> {
        let looked = self.fields.get_mut(field).and_then(Option::as_mut);
        let Some(looked) = looked.filter(|looked| looked.batch.features() > 0) else { return Ok(()) };
        match (gradients, &self.tensors) {
            (Values::Tensor(gradients), Some(tensors)) => (tensors.bring)(&mut looked.vectors, gradients),
            (gradients, _) => looked.vectors.set(gradients.as_floats()),
        }
    }

    fn step(&mut self, field: usize, rate: f64) -> Result<(), CudaError> {
        let Some(Some(field)) = self.fields.get_mut(field) else { return Ok(()) };
        let Some(table) = self.tables.get_mut(field.table) else { return Ok(()) };
        match field.batch.features() {
            0 => Ok(()),
            _ => table.rows.step(&mut field.batch, self.rule.at(rate), &field.vectors),
        }
    }

    fn dropped(&mut self) -> Result<u64, CudaError> {
        let mut all = 0;
        for table in &mut self.tables {
            let before = std::mem::replace(&mut table.dropped, table.rows.dropped()?);
            all += table.dropped - before;
        }
        Ok(all)
    }

    fn write_back(&mut self) -> Result<(), CudaError> {
        self.tables.iter_mut().try_for_each(RowsOf::write_back)
    }
}

impl Learner {
    /// Takes the rows of a network to `machine`, a [`Device`](crate::kernel::cuda::Device), as they are now: from now on they are looked up
    /// and moved there, `[rows, floats · dim]` floats a table, and come back by themselves when somebody reads the
    /// [tables](Learner::tables). The dense part stays where it is, and so does what is learned: to the bit. To be called after the tables of a
    /// stored model were filled. On an error the learner is as it was.
    ///
    /// # Errors
    /// Heads; rows moved by Adam; a dim above [1024](crate::kernel::cuda::MAX_DIM); no room on the device; the device failed, now or, if
    /// the rows are on one already, before.
    pub fn move_to_device<M: Machine + Send + Sync + 'static>(
        &mut self,
        machine: Arc<M>,
    ) -> Result<(), LearnerError> {
        self.write_back()?;
        let network = self.network.as_mut().ok_or(LearnerError::HeadsOnDevice)?;
        network.device = Some(Placed::new(Box::new(On::new(network, &machine, None)?)));
        Ok(())
    }

    /// As [`Learner::move_to_device`], and the dense part computes there too, on candle's device: only its parameters, moved here, and
    /// their gradients are copied. It learns the same up to the rounding of the device's matrix products.
    ///
    /// # Errors
    /// Those of [`Learner::move_to_device`]; the network does something that candle's device does not.
    pub fn move_network_to_device<M: Tensors + Send + Sync + 'static>(
        &mut self,
        machine: Arc<M>,
    ) -> Result<(), LearnerError> {
        self.write_back()?;
        let network = self.network.as_mut().ok_or(LearnerError::HeadsOnDevice)?;
        let placed = Placed::new(Box::new(On::new(network, &machine, Some(Bridge::OF))?));
        network.head.compute_on(machine.candle())?;
        network.device = Some(placed);
        Ok(())
    }

    /// Whether its rows are on a device.
    pub fn is_on_device(&self) -> bool {
        self.network.as_ref().is_some_and(|network| network.device.is_some())
    }
}
