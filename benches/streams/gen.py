#!/usr/bin/env python3
"""Streams with known weak spots, the same records for two programs.

    gen.py SEED FOLDER [NAME ...]      writes FOLDER/NAME.jsonl and FOLDER/NAME.vw
    gen.py --names                     lists the streams

A stream is a function of (SEED, its place in this file): new streams go to the end. Names that begin with s_ are
regressions (squared loss), the others have labels 0 and 1. Numbers are rounded to 7 significant digits before either
program sees them. A value that is exactly 0 is no feature for flexihash, and adds nothing in Vowpal Wabbit.

The second half, from `noise` on, was written after the learner was fixed, to look for weak spots.
"""

import json
import os
import sys
import numpy as np


class W:
    """Writes the records of one stream."""

    def __init__(self, name, logistic=True):
        self.json = open(f"{OUT}/{name}.jsonl", "w")
        self.vw = open(f"{OUT}/{name}.vw", "w")
        self.logistic = logistic

    def add(self, y, features):
        """features: (name, value) pairs; a str is a category, a float a number."""
        ours, theirs = ({}, [])
        for key, value in features:
            if isinstance(value, str):
                ours[key] = value
                theirs.append(f"{key}={value}")
            else:
                text = "%.7g" % float(value)
                ours[key] = float(text)
                theirs.append(f"{key}:{text}")
        label = int(y > 0) if self.logistic else float("%.9g" % y)
        sign = (1 if y > 0 else -1) if self.logistic else "%.9g" % y
        self.json.write(json.dumps({"label": label, "features": ours}) + "\n")
        self.vw.write(f"{sign} |f " + " ".join(theirs) + "\n")

    def done(self):
        self.json.close()
        self.vw.close()


def sig(t):
    return 1 / (1 + np.exp(-t))


def categories(C, i):
    return [(f"c{j}", f"v{c[i]}") for j, c in enumerate(C)]


def zipf(R, n, card, a):
    p = 1 / np.arange(1, card + 1) ** a
    p /= p.sum()
    return R.choice(card, n, p=p)


def cats(R, n, cards, a=0.7, sd=0.6):
    cols = [zipf(R, n, c, a) for c in cards]
    ws = [R.normal(0, sd, c) for c in cards]
    return (cols, ws)


S = {}


def stream(f):
    S[f.__name__] = f
    return f


@stream
def onehot(R, n=100000):
    """Ten categories, 5 to 3,000 values each."""
    w = W("onehot")
    C, ws = cats(R, n, [5, 7, 12, 24, 31, 50, 100, 300, 1000, 3000], 0.7, 0.5)
    t = -1 + sum((a[c] for a, c in zip(ws, C)))
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i))
    w.done()


@stream
def mixscale(R, n=100000):
    """Categories beside numbers on scales from 1e-6 to 1e9, some far from 0."""
    w = W("mixscale")
    C, ws = cats(R, n, [6, 20, 80, 400, 2000], 0.8, 0.5)
    sc = [1e-06, 0.001, 1, 1000.0, 1000000.0, 1000000000.0]
    X = [R.normal(0, 1, n) if j % 2 else R.gamma(2, 1, n) for j in range(6)]
    off = [0, 5, 0, 10, 0, 3]
    b = R.normal(0, 0.6, 6)
    t = -0.5 + sum((a[c] for a, c in zip(ws, C))) + sum((b[j] * (X[j] - X[j].mean()) for j in range(6)))
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", (X[j][i] + off[j]) * sc[j]) for j in range(6)])
    w.done()


@stream
def numcorr(R, n=100000):
    """Twenty correlated numbers with offsets and scales."""
    w = W("numcorr")
    d = 20
    A = R.normal(0, 1, (6, d))
    X = R.normal(0, 1, (n, 6)) @ A + R.normal(0, 0.5, (n, d))
    X = X / X.std(0)
    b = R.normal(0, 0.6, d)
    off = R.normal(0, 2, d)
    sc = 10.0 ** R.integers(-2, 4, d)
    t = 0.3 + X @ b
    y = R.random(n) < sig(t)
    Z = (X + off) * sc
    for i in range(n):
        w.add(float(y[i]), [(f"n{j}", Z[i, j]) for j in range(d)])
    w.done()


@stream
def heavy(R, n=100000):
    """Heavy-tailed numbers: log-normal, Student t, Pareto."""
    w = W("heavy")
    C, ws = cats(R, n, [8, 40, 500], 0.8, 0.6)
    X = [
        np.exp(R.normal(0, 2, n)),
        R.standard_t(1.5, n) * 1000,
        np.exp(R.normal(5, 1.5, n)),
        R.pareto(1.2, n),
        R.exponential(1, n),
    ]
    eff = [
        0.4 * np.log(X[0]),
        0.8 * np.tanh(X[1] / 1000),
        0.5 * (np.log(X[2]) - 5),
        0.5 * np.minimum(X[3], 5) - 1,
        0.5 * (X[4] - 1),
    ]
    t = -1 + sum((a[c] for a, c in zip(ws, C))) + sum(eff)
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[j][i]) for j in range(5)])
    w.done()


@stream
def outlier(R, n=60000):
    """Numbers of which one in 2,000 is a corrupted reading, 1e4 times too large."""
    w = W("outlier")
    C, ws = cats(R, n, [8, 40], 0.8, 0.5)
    d = 6
    X = R.normal(0, 1, (n, d))
    b = R.normal(0, 0.8, d)
    t = X @ b + sum((a[c] for a, c in zip(ws, C)))
    y = R.random(n) < sig(t)
    Z = X.copy() + 2
    m = R.random((n, d)) < 0.0005
    Z[m] = Z[m] * 10000.0
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", Z[i, j]) for j in range(d)])
    w.done()


@stream
def nonlin(R, n=100000):
    """The label depends on the numbers by curves and a step."""
    w = W("nonlin")
    C, ws = cats(R, n, [7, 24, 300], 0.7, 0.5)
    X = R.random((n, 5))
    t = (
        -0.5
        + 2 * np.sin(6 * X[:, 0])
        + 4 * (X[:, 1] - 0.5) ** 2 * 2
        + 1.5 * (X[:, 2] > 0.7)
        + X[:, 3] * 2
        - 1
        + sum((a[c] for a, c in zip(ws, C)))
    )
    y = R.random(n) < sig(t)
    sc = [24, 100, 10000.0, 1, 0.001]
    of = [0, -20, 1000, 0, 0]
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[i, j] * sc[j] + of[j]) for j in range(5)])
    w.done()


@stream
def slowdrift(R, n=150000):
    """All weights walk slowly."""
    w = W("slowdrift")
    cards = [6, 15, 40, 200, 1000]
    C, ws = cats(R, n, cards, 0.7, 0.6)
    X = R.normal(0, 1, (n, 3))
    b = R.normal(0, 0.5, 3)
    for i in range(n):
        if i % 500 == 0:
            for a in ws:
                a *= 0.99
                a += R.normal(0, 0.085, len(a))
            b = b * 0.99 + R.normal(0, 0.07, 3)
        t = sum((a[c[i]] for a, c in zip(ws, C))) + b @ X[i]
        w.add(float(R.random() < sig(t)), categories(C, i) + [(f"n{j}", X[i, j] * 10 + 30) for j in range(3)])
    w.done()


@stream
def abrupt(R, n=120000):
    """All weights are drawn anew three times."""
    w = W("abrupt")
    cards = [6, 15, 40, 200, 1000]
    C, ws = cats(R, n, cards, 0.7, 0.8)
    X = R.normal(0, 1, (n, 3))
    b = R.normal(0, 0.7, 3)
    for i in range(n):
        if i in (40000, 70000, 95000):
            _, ws = cats(R, 1, cards, 0.7, 0.8)
            b = R.normal(0, 0.7, 3)
        t = -0.5 + sum((a[c[i]] for a, c in zip(ws, C))) + b @ X[i]
        w.add(float(R.random() < sig(t)), categories(C, i) + [(f"n{j}", X[i, j] * 3 + 1) for j in range(3)])
    w.done()


@stream
def rare(R, n=200000):
    """About 0.3 % positives."""
    w = W("rare")
    C, ws = cats(R, n, [5, 20, 100, 1000, 5000], 0.8, 0.8)
    X = R.gamma(2, 1, (n, 2))
    t = -7.6 + sum((a[c] for a, c in zip(ws, C))) + 0.3 * X[:, 0]
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[i, j] * [1, 100][j]) for j in range(2)])
    w.done()


@stream
def longtail(R, n=200000):
    """Zipf ids: 300,000 and 50,000 values."""
    w = W("longtail")
    C, ws = cats(R, n, [300000, 50000, 2000, 24], 1.0, 1.0)
    ws[3] *= 0.4
    t = -2 + sum((a[c] for a, c in zip(ws, C)))
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i))
    w.done()


@stream
def ctr(R, n=150000):
    """Click-like: Zipf ids, counts, one hidden interaction."""
    w = W("ctr")
    C, ws = cats(R, n, [24, 7, 60, 800, 8000, 60000, 300], 1.05, 0.5)
    inter = R.normal(0, 0.5, (24, 60))
    X = [R.poisson(3, n), np.floor(np.exp(R.normal(3, 1, n))), np.round(R.gamma(1, 20, n), 1)]
    t = -3.2 + sum((a[c] for a, c in zip(ws, C))) + inter[C[0], C[2]] + 0.1 * X[0] + 0.2 * np.log1p(X[1])
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[j][i]) for j in range(3)])
    w.done()


@stream
def small(R, n=1000):
    """A thousand records: categories and numbers."""
    w = W("small")
    C, ws = cats(R, n, [4, 10, 30], 0.6, 0.8)
    X = R.normal(0, 1, (n, 4))
    b = R.normal(0, 0.8, 4)
    t = sum((a[c] for a, c in zip(ws, C))) + X @ b
    y = R.random(n) < sig(t)
    sc = [1, 50, 10000.0, 0.001]
    of = [0, 100, 50000.0, 0]
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[i, j] * sc[j] + of[j]) for j in range(4)])
    w.done()


@stream
def text(R, n=30000):
    """Bags of 15 to 90 words with counts."""
    w = W("text")
    V = 30000
    wt = R.normal(0, 0.6, V) * (R.random(V) < 0.3)
    L = R.integers(15, 90, n)
    p = 1 / np.arange(3, V + 3) ** 1.05
    p /= p.sum()
    cdf = np.cumsum(p)
    for i in range(n):
        k, c = np.unique(np.minimum(np.searchsorted(cdf, R.random(L[i])), V - 1), return_counts=True)
        t = 0.8 * (wt[k] * np.sqrt(c)).sum()
        w.add(float(R.random() < sig(t)), [(f"w{a}", float(b)) for a, b in zip(k, c)])
    w.done()


@stream
def separable(R, n=50000):
    """Labels almost free of noise."""
    w = W("separable")
    C, ws = cats(R, n, [8, 40, 200], 0.7, 1.0)
    X = R.normal(0, 1, (n, 5))
    b = R.normal(0, 1, 5)
    t = sum((a[c] for a, c in zip(ws, C))) + X @ b
    y = R.random(n) < sig(40 * t)
    for i in range(n):
        w.add(
            float(y[i]),
            categories(C, i)
            + [
                (f"n{j}", X[i, j] * [1, 10, 100, 10000.0, 0.01][j] + [0, 20, 0, 10000.0, 0][j])
                for j in range(5)
            ],
        )
    w.done()


@stream
def s_price(R, n=60000):
    """Prices around 2e5."""
    w = W("s_price", False)
    C, ws = cats(R, n, [6, 30, 200, 2000], 0.8, 1.0)
    X = R.gamma(3, 1, (n, 3))
    y = 200000.0 + 30000.0 * (sum((a[c] for a, c in zip(ws, C))) + X @ [0.6, -0.3, 0.2] + R.normal(0, 0.7, n))
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[i, j] * [50, 3, 10000.0][j]) for j in range(3)])
    w.done()


@stream
def s_dense(R, n=60000):
    """Fifteen correlated numbers."""
    w = W("s_dense", False)
    d = 15
    A = R.normal(0, 1, (5, d))
    X = R.normal(0, 1, (n, 5)) @ A + R.normal(0, 0.6, (n, d))
    X /= X.std(0)
    b = R.normal(0, 1, d)
    y = 3 + X @ b + R.normal(0, 0.7, n)
    Z = (X + R.normal(0, 2, d)) * 10.0 ** R.integers(-2, 4, d)
    for i in range(n):
        w.add(float(y[i]), [(f"n{j}", Z[i, j]) for j in range(d)])
    w.done()


@stream
def s_demand(R, n=80000):
    """Counts with a sine of a number in them."""
    w = W("s_demand", False)
    C, ws = cats(R, n, [24, 7, 50, 500], 0.5, 0.5)
    X = R.random((n, 3))
    mu = np.exp(1 + 0.7 * sum((a[c] for a, c in zip(ws, C))) + np.sin(5 * X[:, 0]))
    y = R.poisson(mu)
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[i, j] * [40, 1000, 1][j]) for j in range(3)])
    w.done()


@stream
def noise(R, n=30000):
    """Labels that depend on nothing."""
    w = W("noise")
    C, _ = cats(R, n, [5, 50, 1000], 0.5, 0.5)
    X = R.normal(0, 1, (n, 4))
    y = R.random(n) < 0.4
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[i, j]) for j in range(4)])
    w.done()


@stream
def clock(R, n=60000):
    """A growing time stamp, a counter and a random id, all as numbers, beside categories."""
    w = W("clock")
    C, ws = cats(R, n, [24, 40, 300], 0.5, 0.6)
    ts = 1600000000.0 + np.cumsum(R.exponential(60, n))
    z = np.linspace(-1, 1, n)
    cnt = np.arange(n)
    t = -1 + 1.5 * z + sum((a[c] for a, c in zip(ws, C)))
    y = R.random(n) < sig(t)
    rid = R.integers(1, 10**9, n)
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [("ts", ts[i]), ("cnt", float(cnt[i])), ("rid", float(rid[i]))])
    w.done()


@stream
def sparsenum(R, n=60000):
    """Thirty numbers, often missing, zero-inflated."""
    w = W("sparsenum")
    d = 30
    M = R.random((n, d)) < R.uniform(0.02, 0.6, d)
    X = np.where(R.random((n, d)) < 0.5, 1.0, R.gamma(2, 1, (n, d))) * 10.0 ** R.integers(-3, 5, d)
    b = R.normal(0, 0.8, d)
    t = -1 + X / X.std(0) * M @ (b * 0.7) + M @ R.normal(0, 0.6, d)
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), [(f"n{j}", X[i, j]) for j in range(d) if M[i, j]])
    w.done()


@stream
def burst(R, n=80000):
    """The base rate and one category jump about every 1,000 records."""
    w = W("burst")
    C, ws = cats(R, n, [5, 40, 500, 4000], 0.8, 0.4)
    day = np.cumsum(R.random(n) < 0.001)
    e = R.normal(0, 1, day.max() + 1)
    e2 = R.normal(0, 0.8, (day.max() + 1, 5))
    t = -1 + e[day] + e2[day, C[0]] + sum((a[c] for a, c in zip(ws, C)))
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i))
    w.done()


@stream
def smallcat(R, n=1000):
    """A thousand records of categories."""
    w = W("smallcat")
    C, ws = cats(R, n, [3, 8, 40, 200], 0.6, 0.7)
    t = -1 + sum((a[c] for a, c in zip(ws, C)))
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i))
    w.done()


@stream
def smallnum(R, n=1000):
    """A thousand records of numbers."""
    w = W("smallnum")
    d = 10
    X = R.normal(0, 1, (n, d))
    t = X @ R.normal(0, 0.5, d) + 0.3
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), [(f"n{j}", X[i, j] * [1, 20, 1000.0, 1000000.0][j % 4]) for j in range(d)])
    w.done()


@stream
def widecat(R, n=40000):
    """Forty categories, six of which matter."""
    w = W("widecat")
    C, ws = cats(R, n, [10] * 20 + [100] * 20, 0.5, 0.5)
    t = -1 + sum((ws[j][C[j]] for j in (0, 3, 7, 21, 25, 33)))
    y = R.random(n) < sig(t)
    for i in range(n):
        w.add(float(y[i]), categories(C, i))
    w.done()


@stream
def widenum(R, n=40000):
    """Sixty numbers over sixteen orders of magnitude, ten of which matter."""
    w = W("widenum")
    d = 60
    A = R.normal(0, 1, (12, d))
    X = R.normal(0, 1, (n, 12)) @ A * 0.5 + R.normal(0, 1, (n, d))
    X /= X.std(0)
    b = np.where(np.arange(d) % 6 == 0, R.normal(0, 0.6, d), 0)
    y = R.random(n) < sig(X @ b - 0.5)
    X = X * 10.0 ** R.integers(-6, 10, d)
    for i in range(n):
        w.add(float(y[i]), [(f"n{j}", X[i, j]) for j in range(d)])
    w.done()


@stream
def deterministic(R, n=30000):
    """The label is a function of one category."""
    w = W("deterministic")
    C, ws = cats(R, n, [50, 500, 5000], 0.7, 1.0)
    y = ws[0][C[0]] > 0
    for i in range(n):
        w.add(float(y[i]), categories(C, i))
    w.done()


@stream
def s_tiny(R, n=40000):
    """Labels around 1e-6."""
    w = W("s_tiny", False)
    C, ws = cats(R, n, [6, 30, 300], 0.7, 1.0)
    X = R.normal(0, 1, (n, 3))
    y = 1e-06 * (sum((a[c] for a, c in zip(ws, C))) + X @ [1, 0.5, -0.5] + R.standard_t(3, n) * 0.5)
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [(f"n{j}", X[i, j] * 1000.0) for j in range(3)])
    w.done()


@stream
def s_drift(R, n=60000):
    """Weights and offset are drawn anew twice."""
    w = W("s_drift", False)
    cards = [6, 40, 400]
    C, ws = cats(R, n, cards, 0.7, 1.0)
    X = R.normal(0, 1, (n, 3))
    b = R.normal(0, 1, 3)
    o = 0.0
    for i in range(n):
        if i % 20000 == 19999:
            b = R.normal(0, 1, 3)
            o += R.normal(0, 3)
            _, ws = cats(R, 1, cards, 0.7, 1.0)
        w.add(
            5 + o + sum((a[c[i]] for a, c in zip(ws, C))) + float(b @ X[i]) + R.normal(0, 0.7),
            categories(C, i) + [(f"n{j}", X[i, j] * 5 + 2) for j in range(3)],
        )
    w.done()


@stream
def s_lognorm(R, n=60000):
    """Log-normal labels."""
    w = W("s_lognorm", False)
    C, ws = cats(R, n, [6, 40, 400, 3000], 0.7, 0.4)
    X = R.gamma(2, 1, n)
    y = 100 * np.exp(sum((a[c] for a, c in zip(ws, C))) + 0.2 * X + R.normal(0, 0.7, n))
    for i in range(n):
        w.add(float(y[i]), categories(C, i) + [("n", X[i] * 10000.0)])
    w.done()


@stream
def s_small(R, n=1000):
    """A thousand records."""
    w = W("s_small", False)
    C, ws = cats(R, n, [4, 20], 0.7, 1.0)
    X = R.normal(0, 1, (n, 5))
    y = 50 + 10 * (sum((a[c] for a, c in zip(ws, C))) + X @ R.normal(0, 1, 5) + R.normal(0, 0.5, n))
    for i in range(n):
        w.add(
            float(y[i]),
            categories(C, i)
            + [(f"n{j}", X[i, j] * [1, 100, 0.001, 100000.0, 1][j] + [0, 300, 0, 0, 5][j]) for j in range(5)],
        )
    w.done()


@stream
def s_iot(R, n=60000):
    """Almost noiseless: 1e5 plus a linear function of eight correlated numbers."""
    w = W("s_iot", False)
    d = 8
    A = R.normal(0, 1, (3, d))
    X = R.normal(0, 1, (n, 3)) @ A + R.normal(0, 0.3, (n, d))
    y = 100000.0 + 2000.0 * (X @ R.normal(0, 1, d)) + R.normal(0, 20, n)
    Z = (X + R.normal(0, 3, d)) * 10.0 ** R.integers(-3, 4, d)
    for i in range(n):
        w.add(float(y[i]), [(f"n{j}", Z[i, j]) for j in range(d)])
    w.done()


def main():
    global OUT
    if sys.argv[1:] == ["--names"]:
        print("\n".join(S))
        return
    seed, OUT, only = (int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    unknown = set(only) - set(S)
    if unknown:
        sys.exit(f"gen.py: no stream {', '.join(sorted(unknown))}; gen.py --names lists them")
    os.makedirs(OUT, exist_ok=True)
    for place, (name, stream_of) in enumerate(S.items()):
        if not only or name in only:
            stream_of(np.random.default_rng([seed, place]))


main()
