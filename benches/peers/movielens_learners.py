#!/usr/bin/env python3
"""River's and torch's recommenders on MovieLens, as their users would write them; prints loss, seconds and records as JSON.

    python3 movielens_learners.py river ml100k.jsonl RECORDS
    python3 movielens_learners.py torch ml100k-tasks.jsonl RECORDS BATCH THREADS

river   BiasedMF, beside examples/models/dot-bias.toml: mean squared error of ratings.
torch   The multi-task estimator with id lookup, beside examples/models/multitask-id.toml: logloss, mean over the tasks.
        The same vectors, layers, batches and sums of losses; AdaGrad, which torch has for sparse rows, in place of FTRL.

Every record is predicted before it is learned; imports are not timed, parsing is.
"""
import json, sys, time

# As multitask-id.toml has them; the layer of cross features has 128 units, as in the reference.
DIM, FEATURES, CROSS, RATE, DEVIATION = 16, 16, 128, 0.1, 0.01
ROWS, TASKS = 1 << 16, ["liked", "loved", "disliked"]


def river(lines):
    from river import optim, reco

    rate = optim.SGD(0.025)
    model = reco.BiasedMF(n_factors=10, bias_optimizer=rate, latent_optimizer=optim.SGD(0.05), l2_bias=0.01, l2_latent=0.1,
                          latent_initializer=optim.initializers.Normal(mu=0, sigma=0.1, seed=71), seed=71)
    loss, start = 0.0, time.perf_counter()
    for line in lines:
        record = json.loads(line)
        user, item, y = record["features"]["user"]["id"], record["features"]["item"]["id"], record["label"]
        loss += (model.predict_one(user, item) - y) ** 2
        model.learn_one(user, item, y)
    return loss / len(lines), time.perf_counter() - start


class Vocabulary(dict):
    """The row of each feature: its own, in the order in which they come."""

    def __missing__(self, feature):
        self[feature] = len(self)
        return self[feature]


def features_of(record):
    """Ids, and the features of user, item and both, as names."""
    user, item = record["features"]["user"], record["features"]["item"]
    of_user = [f"user.{key}={value}" for key, value in user.items() if key != "id"]
    of_item = [f"item.year={item['year']}", *(f"item.genre={genre}" for genre in item["genre"])]
    ids = [f"user.id={user['id']}"], [f"item.id={item['id']}"]
    return [*ids, of_user, of_item, [*ids[0], *ids[1], *of_user, *of_item]]


def torch(lines, batch, threads):
    import torch
    from torch import nn

    class Estimator(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = nn.ModuleList(nn.EmbeddingBag(ROWS, dim, mode="sum", sparse=True)
                                        for dim in [DIM, DIM, FEATURES, FEATURES, FEATURES])
            for table in self.tables:
                nn.init.normal_(table.weight, 0, DEVIATION)
            self.layers = nn.ModuleList(nn.Linear(FEATURES, units) for units in [DIM, DIM, CROSS])
            self.tasks = nn.Linear(4 * DIM + CROSS, len(TASKS))

        def forward(self, inputs):
            sums = [table(*rows) for table, rows in zip(self.tables, inputs)]
            return self.tasks(torch.cat([*sums[:2], *(layer(x) for layer, x in zip(self.layers, sums[2:]))], 1))

    def inputs_of(records):
        fields = zip(*map(features_of, records))
        for names, vocabulary in zip(fields, vocabularies):
            starts = [0]
            for one in names:
                starts.append(starts[-1] + len(one))
            rows = [vocabulary[name] for one in names for name in one]
            yield torch.tensor(rows), torch.tensor(starts[:-1])

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, vocabularies = Estimator(), [Vocabulary() for _ in range(5)]
    optimizer = torch.optim.Adagrad(model.parameters(), lr=RATE)
    total, start = 0.0, time.perf_counter()
    for at in range(0, len(lines), batch):
        records = [json.loads(line) for line in lines[at:at + batch]]
        labels = torch.tensor([[float(record["label"][task]) for task in TASKS] for record in records])
        outputs = model(list(inputs_of(records)))
        loss = nn.functional.binary_cross_entropy_with_logits(outputs, labels, reduction="sum")
        total += loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return total / len(lines) / len(TASKS), time.perf_counter() - start


name, path, records, *numbers = sys.argv[1:]
with open(path) as file:
    lines = [line for line, _ in zip(file, range(int(records)))]
loss, seconds = {"river": river, "torch": torch}[name](lines, *map(int, numbers))
print(json.dumps({"loss": loss, "seconds": seconds, "records": len(lines)}))
