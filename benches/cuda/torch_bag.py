"""Times of torch.nn.EmbeddingBag on the work of main.rs, as lines `kernel,dim,keys,features,microseconds` on standard output.

Forward: the sum of 16 rows a record, with weights. Backward and step: a sparse gradient, then SGD. Needs numpy and torch with CUDA.
"""

import sys

import numpy as np
import torch

ROWS, RECORD, RUNS = 1 << 20, 16, 21


def words(count):
    """SplitMix64 from the state 1."""
    with np.errstate(over="ignore"):
        z = np.uint64(1) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def slots(keys, count):
    uniform = (words(count) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    if keys == "uniform":
        return (uniform * ROWS).astype(np.int64)
    rank = np.exp(uniform * np.log(float(ROWS))).astype(np.int64) - 1
    return rank * 0x9E3779B1 % ROWS


def median(prepare, run):
    times = []
    for _ in range(RUNS + 1):
        made = prepare()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        run(made)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3)
    return float(np.median(times[1:]))


def measure(dim, keys, count):
    bag = torch.nn.EmbeddingBag(ROWS, dim, mode="sum", sparse=True, device="cuda")
    step = torch.optim.SGD(bag.parameters(), lr=1e-3)
    names = torch.from_numpy(slots(keys, count)).cuda()
    offsets = torch.arange(0, count, RECORD, device="cuda")
    ones = torch.ones(count, device="cuda")
    above = torch.full((count // RECORD, dim), 1e-3, device="cuda")

    def forward(_=None):
        return bag(names, offsets, per_sample_weights=ones)

    def backward(sums):
        sums.backward(above)
        step.step()
        step.zero_grad(set_to_none=True)

    with torch.no_grad():
        told = median(lambda: None, forward)
    print(f"gather-sum,{dim},{keys},{count},{told:.2f}")
    print(f"scatter + SGD,{dim},{keys},{count},{median(forward, backward):.2f}", flush=True)


if not torch.cuda.is_available():
    sys.exit("torch has no CUDA device here")
for dim in (64, 128):
    for keys in ("uniform", "Zipf"):
        for count in (1 << 14, 1 << 16, 1 << 18, 1 << 20):
            measure(dim, keys, count)
