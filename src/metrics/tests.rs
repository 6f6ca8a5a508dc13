//! The table in the docs, the names that are written, and the values.

use super::*;
use std::collections::BTreeSet;

fn everything() -> Metrics {
    let metrics = Metrics::new();
    let count = BatchCount { records: 5, bytes: 600, examples: 4, features: 40, dropped_steps: 1 };
    metrics.batch(count, 104);
    let (reason, source) = ("byte 0: no", "in");
    metrics.bad(BadRecord { bad: Bad::Parse, reason, source, line: 1, length: 3, bytes: b"nul" });
    metrics.loss(0.5, 0.25);
    metrics.figures(figures());
    metrics.saves(7);
    metrics.checkpointed(8, Duration::from_millis(30));
    metrics.committed(Duration::from_millis(3));
    metrics.partitions(2);
    metrics.rebalanced(Rebalance::Assigned);
    metrics.lag("a\"b", 1, Some(9));
    metrics.brokers_up(3);
    metrics.requested("/predict", 200, Duration::from_micros(300));
    metrics.requested("/predict", 413, Duration::from_micros(300));
    metrics.answered("/predict", 10);
    metrics.loaded(Some(8));
    metrics.loaded(None);
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

fn figures() -> Figures {
    let bin = CalibrationBin { from: 0.3, prediction: 0.35, label: 0.25, weight: 8.0 };
    let quality = |loss: f64| Quality {
        examples: 4,
        loss,
        auc: Some(0.75),
        normalized_entropy: Some(loss * 1.5),
        calibration: Some(1.25),
        bins: vec![bin],
    };
    let task = TaskFigures { task: Some("a\"b\n\\".to_owned()), life: quality(0.5), window: quality(0.25) };
    let norms = vec![0.5, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0];
    let table = TableFigures { table: None, rows: 100, touched: 7, norms };
    Figures { means: [quality(0.5), quality(0.25)], tasks: vec![task], tables: vec![table] }
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
        "flexihash_auc{over=\"window\",task=\"a\\\"b\\n\\\\\"} 0.75",
        "flexihash_calibration_label_mean{over=\"life\",task=\"a\\\"b\\n\\\\\",bin=\"0.3\"} 0.25",
        "flexihash_table_rows_touched 7.0",
        "flexihash_row_norm_share{norm=\"1\"} 0.25",
        "flexihash_generation 8",
        "flexihash_checkpoints_total 1",
        "flexihash_checkpoint_duration_seconds_bucket{le=\"0.025\"} 0",
        "flexihash_checkpoint_duration_seconds_bucket{le=\"0.05\"} 1",
        "flexihash_lag_records{topic=\"a\\\"b\",partition=\"1\"} 9",
        "flexihash_rebalances_total{event=\"assigned\"} 1",
        "# UNIT flexihash_lag_records records",
        "flexihash_http_requests_total{path=\"/predict\",status=\"4xx\"} 1",
        "flexihash_http_request_duration_seconds_bucket{le=\"0.00025\",path=\"/predict\"} 0",
        "flexihash_http_request_duration_seconds_bucket{le=\"0.0005\",path=\"/predict\"} 2",
        "flexihash_http_records_total{path=\"/predict\"} 10",
        "flexihash_serving_generation 8",
        "flexihash_model_loads_total{result=\"failed\"} 1",
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
    for name in
        ["checkpoint", "commit", "generation", "lag", "partitions", "brokers", "loss", "auc", "table", "task"]
    {
        assert!(!text.contains(&format!("flexihash_{name}")), "{name}: {text}");
    }
    metrics.lag("t", 0, Some(1));
    assert!(metrics.text().contains("lag_records{"));
    metrics.lag("t", 0, None);
    assert!(!metrics.text().contains("lag_records{"));
    metrics.saves(0);
    assert!(metrics.text().contains("flexihash_last_checkpoint_age_seconds "), "since the run began");
}

#[test]
fn bad_records_are_kept_and_samples_taken_only_as_they_are_told() {
    let metrics = everything();
    assert_eq!(metrics.dead_letters(true), "[]", "nobody looks");
    metrics.watch();
    let (reason, source) = ("no", "in");
    metrics.bad(BadRecord { bad: Bad::Length, reason, source, line: 9, length: 3, bytes: b"nul" });
    let letters: serde_json::Value = serde_json::from_str(&metrics.dead_letters(true)).unwrap();
    assert_eq!((&letters[0]["kind"], &letters[0]["record"]), (&"length".into(), &"nul".into()));
    let history: serde_json::Value = serde_json::from_str(&metrics.history(0.0)).unwrap();
    let sample = history["samples"][0].as_array().unwrap();
    assert_eq!(sample[1..6], [5.0, 1.0, 104.0, 0.5, 0.25].map(serde_json::Value::from));
}

#[test]
fn a_label_is_written_for_every_bin_and_norm() {
    let (edges, norms) = (figures::EDGES, figures::NORM_EDGES);
    assert!(edges.iter().zip(CALIBRATION).all(|(text, edge)| text.parse() == Ok(edge)));
    assert!(norms.iter().zip(NORMS).all(|(text, norm)| text.parse() == Ok(norm)));
}
