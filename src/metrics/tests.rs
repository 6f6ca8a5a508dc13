//! The table in the docs, the names that are written, and the values.

use super::*;
use std::collections::BTreeSet;

fn everything() -> Metrics {
    let metrics = Metrics::new();
    let count = BatchCount { records: 5, bytes: 600, examples: 4, features: 40, dropped_steps: 1 };
    metrics.batch(count, 104);
    metrics.bad(Bad::Parse);
    metrics.loss(0.5, 0.25);
    metrics.saves(7);
    metrics.checkpointed(8, Duration::from_millis(30));
    metrics.committed(Duration::from_millis(3));
    metrics.partitions(2);
    metrics.rebalanced(Rebalance::Assigned);
    metrics.lag("a\"b", 1, Some(9));
    metrics.brokers_up(3);
    metrics.collisions(123, 0.25);
    metrics.field_collisions("a\nb", 0.5);
    metrics.table_fill("", 0.125);
    metrics.schema_keys(9);
    metrics.schema_changes([("new", 1), ("vanished", 0), ("type", 2)]);
    metrics.schema_changes([("new", 4), ("vanished", 0), ("type", 2)]);
    metrics.null_ratios([("gone", 0.1)].into_iter());
    metrics.null_ratios([("features.x", 0.75)].into_iter());
    metrics
}

/// Names of families, as the table in the module's docs has them.
fn documented() -> BTreeSet<String> {
    let table = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    table.filter_map(|line| Some(line.split_once('`')?.0.to_owned())).collect()
}

#[test]
fn the_table_in_the_docs_is_what_is_written() {
    let text = everything().text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<String> = samples
        .map(|line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            histogram.unwrap_or(name).to_owned()
        })
        .collect();
    assert_eq!(names, documented(), "{text}");
}

#[test]
fn values_are_those_that_were_told() {
    let text = everything().text();
    for line in [
        "flexihash_records_total 5",
        "flexihash_record_bytes_total 600",
        "flexihash_dead_letters_total{reason=\"parse\"} 1",
        "flexihash_dead_letters_total{reason=\"length\"} 0",
        "flexihash_model_examples 104",
        "flexihash_loss{over=\"window\"} 0.25",
        "flexihash_generation 8",
        "flexihash_checkpoints_total 1",
        "flexihash_checkpoint_duration_seconds_bucket{le=\"0.025\"} 0",
        "flexihash_checkpoint_duration_seconds_bucket{le=\"0.05\"} 1",
        "flexihash_lag_records{topic=\"a\\\"b\",partition=\"1\"} 9",
        "flexihash_rebalances_total{event=\"assigned\"} 1",
        "# UNIT flexihash_lag_records records",
        "flexihash_distinct_keys 123",
        "flexihash_collision_rate{field=\"a\u{fffd}b\"} 0.5",
        "flexihash_table_fill{table=\"\"} 0.125",
        "flexihash_schema_changes_total{change=\"new\"} 4",
        "flexihash_schema_null_ratio{key=\"features.x\"} 0.75",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn what_a_run_has_nothing_of_is_absent() {
    let metrics = Metrics::new();
    let text = metrics.text();
    for name in ["checkpoint", "commit", "generation", "lag", "partitions", "brokers", "loss"] {
        assert!(!text.contains(&format!("flexihash_{name}")), "{name}: {text}");
    }
    metrics.lag("t", 0, Some(1));
    assert!(metrics.text().contains("lag_records{"));
    metrics.lag("t", 0, None);
    assert!(!metrics.text().contains("lag_records{"));
    metrics.saves(0);
    assert!(metrics.text().contains("flexihash_last_checkpoint_age_seconds "), "since the run began");
}
