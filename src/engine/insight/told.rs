//! What was seen, as metrics.

use super::report::InsightReport;
use crate::metrics::Metrics;

/// Keys that are labels of a metric.
const MAX_LABELS: usize = 256;

/// Tells the metrics what was seen.
pub(in crate::engine) fn tell_metrics(metrics: &Metrics, report: &InsightReport) {
    if let Some(collisions) = &report.collisions {
        metrics.collisions(collisions.distinct_keys, collisions.rate);
        for field in &collisions.fields {
            metrics.field_collisions(&field.field, field.rate);
        }
        for table in &collisions.tables {
            metrics.table_fill(&table.table, table.fill);
        }
    }
    if let Some(schema) = &report.schema {
        metrics.schema_keys(schema.keys.len());
        let changes = schema.changes;
        metrics.schema_changes([
            ("new", changes.new),
            ("vanished", changes.vanished),
            ("type", changes.r#type),
        ]);
        let nulls = schema.keys.iter().filter_map(|key| {
            let null = key.before.as_ref().or(key.now.as_ref())?.null;
            (null > 0.0).then_some((key.key.as_str(), null))
        });
        metrics.null_ratios(nulls.take(MAX_LABELS));
    }
}
