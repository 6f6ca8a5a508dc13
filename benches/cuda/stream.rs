//! A whole stream on the device and on the CPU: dicts are hashed, their vectors summed, rows moved.

use super::data::RECORD;
use flexihash::batch::Batch;
use flexihash::embedding::{EmbeddingOptions, FlexiHashEmbedding};
use flexihash::hash::HashOptions;
use flexihash::kernel::cuda::{
    CudaError, Device, DeviceBatch, DeviceRows, DeviceVectors, Move, Normal, RowsShape, Weights,
};
use std::sync::Arc;
use std::time::Instant;

const BUCKETS: u32 = 1 << 20;
/// Features that go through, at each measurement.
const FEATURES: usize = 1 << 21;

pub(super) fn all(device: &Arc<Device>) -> Result<(), CudaError> {
    println!(
        "\nA whole stream, hashed from dicts of {RECORD} keys: million features a second. *In turn* waits for the device after"
    );
    println!(
        "each batch; *overlapped* fills one of two batches while kernels run on the other. The CPU sums on two threads.\n"
    );
    println!("| dim | features a batch | CPU | device, in turn | overlapped | device / CPU |");
    println!("|---|---|---|---|---|---|");
    for dim in [8, 16, 32, 64, 128, 256, 512] {
        for features in [1 << 8, 1 << 11, 1 << 14, 1 << 17] {
            let (cpu, turn, both) =
                (on_cpu(dim, features), on(device, dim, features, 1)?, on(device, dim, features, 2)?);
            println!("| {dim} | {features} | {cpu:.2} | {turn:.2} | {both:.2} | {:.2} |", both / cpu);
        }
    }
    Ok(())
}

/// The dicts of batch `number`.
fn dicts(number: usize, features: usize) -> Vec<Vec<(String, f32)>> {
    let pair = |feature: usize| {
        let key = (number * features + feature).wrapping_mul(0x9e37_79b1) % 300_007;
        (format!("feature {key}"), 1.0)
    };
    (0..(features / RECORD).max(1))
        .map(|dict| (0..RECORD).map(|i| pair(dict * RECORD + i)).collect())
        .collect()
}

fn embedding(dim: usize) -> FlexiHashEmbedding {
    let hash = HashOptions { buckets: BUCKETS, ..HashOptions::default() };
    FlexiHashEmbedding::new(EmbeddingOptions { dim, seed: 1, hash }).unwrap()
}

fn hash(embedding: &FlexiHashEmbedding, dicts: &[Vec<(String, f32)>], batch: &mut Batch) {
    let dicts = dicts.iter().map(|dict| dict.iter().map(|(key, value)| (key, *value)));
    embedding.batch_into(dicts, batch).unwrap();
}

/// Million features a second, from the batch at number 1 on.
fn speed(features: usize, mut batch: impl FnMut(&[Vec<(String, f32)>])) -> f64 {
    let made: Vec<_> = (0..4).map(|number| dicts(number, features)).collect();
    batch(&made[0]);
    let (rounds, start) = ((FEATURES / features).clamp(8, 512), Instant::now());
    (0..rounds).for_each(|round| batch(&made[round % 4]));
    (rounds * features) as f64 / start.elapsed().as_secs_f64() / 1e6
}

fn on_cpu(dim: usize, features: usize) -> f64 {
    let (embedding, mut batch) = (embedding(dim), Batch::default());
    let records = (features / RECORD).max(1);
    let (mut vectors, above) = (vec![0.0; records * dim], vec![1e-3; records * dim]);
    speed(features, |dicts| {
        hash(&embedding, dicts, &mut batch);
        embedding.embed_into(&batch, 2, &mut vectors).unwrap();
        embedding.sgd_backward(&batch, &above, 1e-3).unwrap();
    })
}

fn on(device: &Arc<Device>, dim: usize, features: usize, batches: usize) -> Result<f64, CudaError> {
    let (embedding, mut hashed) = (embedding(dim), Batch::default());
    let normal = Some(Normal { mean: 0.0, scale: 1.0, seed: 1 });
    let shape = RowsShape { rows: u64::from(BUCKETS), dim, floats: 1 };
    let mut rows = DeviceRows::new(device.clone(), shape, normal)?;
    let mut ring = (0..batches).map(|_| DeviceBatch::new(device.clone())).collect::<Result<Vec<_>, _>>()?;
    let (mut sums, mut above) =
        (DeviceVectors::new(device.clone(), dim)?, DeviceVectors::new(device.clone(), dim)?);
    above.set(&vec![1e-3; (features / RECORD).max(1) * dim])?;
    device.wait()?;
    let (mut at, mut failed) = (0, Ok(()));
    let mut one = |dicts: &[Vec<(String, f32)>]| {
        hash(&embedding, dicts, &mut hashed);
        let slots: &[u32] = bytemuck::cast_slice(hashed.slots());
        let batch = &mut ring[at % batches];
        batch.fill(hashed.offsets(), slots, hashed.values())?;
        rows.gather(batch, Weights::First, &mut sums)?;
        rows.step(batch, Move::AddInParts { rate: -1e-3 }, &above)?;
        at += 1;
        if batches == 1 { device.wait() } else { Ok(()) }
    };
    let speed = speed(features, |dicts| {
        if let (Ok(()), Err(error)) = (&failed, one(dicts)) {
            failed = Err(error);
        }
    });
    device.wait()?;
    failed.map(|()| speed)
}
