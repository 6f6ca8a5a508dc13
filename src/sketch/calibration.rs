//! Predictions beside labels, by the size of the prediction: is what is called 10 % seen in one of ten?

/// Those predictions that lie in one range.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CalibrationBin {
    /// Where the range begins; it ends where the next one begins, the last at 1.
    pub from: f64,
    /// Weighted mean of the predictions.
    pub prediction: f64,
    /// Weighted mean of their labels.
    pub label: f64,
    /// Sum of their weights.
    pub weight: f64,
}

/// Gathers fine bins, `(prediction, (weight of positives, of negatives))` in ascending order, into ranges from each of `edges` on.
/// Those without weight are left out.
pub fn calibration_bins(fine: impl Iterator<Item = (f64, (f64, f64))>, edges: &[f64]) -> Vec<CalibrationBin> {
    let mut bins: Vec<CalibrationBin> =
        edges.iter().map(|&from| CalibrationBin { from, ..CalibrationBin::default() }).collect();
    for (prediction, (positive, negative)) in fine {
        let place = edges.partition_point(|&edge| edge <= prediction);
        if let Some(bin) = bins.get_mut(place.saturating_sub(1)) {
            bin.prediction += (positive + negative) * prediction;
            bin.label += positive;
            bin.weight += positive + negative;
        }
    }
    bins.retain(|bin| bin.weight > 0.0);
    for bin in &mut bins {
        bin.prediction /= bin.weight;
        bin.label /= bin.weight;
    }
    bins
}
