//! Question: what does the dense part of a network cost a record, predicted and learned, by the size of its batch?
//! Data: random rows and features, seed 7; the rows are neither looked up nor moved here. Rivals: the dot product by candle's graph
//! rather than written out, and bare arithmetic, which says what the head itself costs.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use divan::Bencher;
use divan::counter::ItemsCount;
use flexihash::model::network::*;

const BATCHES: [usize; 4] = [1, 16, 128, 1024];

fn main() {
    divan::main();
}

/// Floats in [-0.5, 0.5) that are the same everywhere.
fn floats(count: usize, seed: u64) -> Vec<f32> {
    let hash = |at: usize| flexihash::hash::murmur3_x64_128(&(at as u64 ^ seed << 32).to_le_bytes(), 7).0;
    (0..count).map(|at| (hash(at) >> 40) as f32 / (1 << 24) as f32 - 0.5).collect()
}

fn inputs<N: Network>(head: &NetworkHead<N>, rows: usize) -> Inputs {
    const ITEMS: usize = 8;
    let values = |(seed, field): (usize, &Field)| {
        let count = field.shape(rows, ITEMS).iter().product();
        match field.kind {
            FieldKind::Category { count: categories } => {
                Values::Categories((0..count as u32).map(|at| at % categories).collect())
            }
            FieldKind::Id => Values::Ids((0..count as i64).collect()),
            _ => Values::Floats(floats(count, seed as u64)),
        }
    };
    let items = Items { count: ITEMS, mask: vec![true; rows * ITEMS] };
    Inputs {
        rows,
        lists: vec![items; head.lists().len()],
        fields: head.fields().iter().enumerate().map(values).collect(),
    }
}

fn bench<N: Network>(bencher: Bencher<'_, '_>, network: N, rows: usize) {
    let mut head = NetworkHead::new(network, HeadOptions::default()).unwrap();
    let inputs = inputs(&head, rows);
    let outputs = head.predict(&inputs).unwrap().len();
    let targets = Targets::of((0..outputs).map(|output| Some((output % 2) as f32)));
    let mut learn = || head.learn(&inputs, &targets).unwrap();
    assert!(matches!(learn().step, Step::Taken(_)));
    bencher.counter(ItemsCount::new(rows)).bench_local(learn);
}

/// A network by candle's graph, though it may be written out.
#[derive(Debug)]
struct Graph<N>(N);

impl<N: Network> Network for Graph<N> {
    fn fields(&self) -> Vec<Field> {
        self.0.fields()
    }
    fn parameters(&self) -> Vec<Parameter> {
        self.0.parameters()
    }
    fn outputs(&self) -> Outputs {
        self.0.outputs()
    }
    fn objective(&self) -> Objective {
        self.0.objective()
    }
    fn forward(&self, pass: &mut Pass<'_>) -> Result<candle_core::Tensor, NetworkError> {
        self.0.forward(pass)
    }
}

#[divan::bench(args = BATCHES)]
fn dot_by_graph(bencher: Bencher<'_, '_>, rows: usize) {
    bench(bencher, Graph(Dot::new(DotOptions::default()).unwrap()), rows);
}

#[divan::bench(args = BATCHES)]
fn dot(bencher: Bencher<'_, '_>, rows: usize) {
    bench(bencher, Dot::new(DotOptions::default()).unwrap(), rows);
}

#[divan::bench(args = BATCHES)]
fn dot_with_biases(bencher: Bencher<'_, '_>, rows: usize) {
    let options = DotOptions { biases: true, ..DotOptions::default() };
    bench(bencher, Dot::new(options).unwrap(), rows);
}

#[divan::bench(args = BATCHES)]
fn rival_dot_by_hand(bencher: Bencher<'_, '_>, rows: usize) {
    let dim = DotOptions::default().dim;
    let (users, items) = (floats(rows * dim, 0), floats(rows * dim, 1));
    let learn = || {
        let mut gradients = [Vec::with_capacity(rows * dim), Vec::with_capacity(rows * dim)];
        let pairs = users.chunks_exact(dim).zip(items.chunks_exact(dim)).enumerate();
        for (row, (user, item)) in pairs {
            let score: f32 = user.iter().zip(item).map(|(user, item)| user * item).sum();
            let slope = 2.0 * (score - (row % 2) as f32);
            gradients[0].extend(item.iter().map(|item| slope * item));
            gradients[1].extend(user.iter().map(|user| slope * user));
        }
        gradients
    };
    assert!(learn().iter().all(|gradient| gradient.len() == rows * dim));
    bencher.counter(ItemsCount::new(rows)).bench_local(learn);
}

/// Three tasks, vectors of 32, 16 features of user, item and both.
#[divan::bench(args = BATCHES)]
fn estimator_with_id_lookup(bencher: Bencher<'_, '_>, rows: usize) {
    let tasks = ["one", "two", "three"].map(String::from).to_vec();
    bench(bencher, MultiTaskEstimator::new(EstimatorOptions { tasks, ..Default::default() }).unwrap(), rows);
}

/// The same with a mixture: two passes, because of its dropout.
#[divan::bench(args = BATCHES)]
fn estimator_with_mixture(bencher: Bencher<'_, '_>, rows: usize) {
    let tasks = ["one", "two", "three"].map(String::from).to_vec();
    let representation = Representation::Mixture(CohortOptions::default());
    let options = EstimatorOptions { tasks, representation, ..Default::default() };
    bench(bencher, MultiTaskEstimator::new(options).unwrap(), rows);
}

/// Histories and candidates of eight items.
#[divan::bench(args = BATCHES)]
fn ranker(bencher: Bencher<'_, '_>, rows: usize) {
    bench(bencher, Ranker::new(RankerOptions::default()).unwrap(), rows);
}
