//! Figures against sorting, bins against sums, curves however the stream is cut.

use super::*;

fn stream() -> impl Iterator<Item = (f64, f64)> {
    (0..30_000u32).map(|i| {
        let p = f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1u32 << 24);
        (p.clamp(0.001, 0.999), f64::from(u8::from(i.wrapping_mul(40_503) >> 16 & 255 < (p * 256.0) as u32)))
    })
}

#[test]
fn auc_is_that_of_sorting() {
    let mut validation = Validation::new(Loss::Logistic);
    let mut sorted: Vec<_> = stream().collect();
    sorted.iter().for_each(|&(p, y)| validation.add(p, y, 1.0));
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut ordered) = (0.0, 0.0);
    for (_, y) in &sorted {
        if *y == 1.0 { ordered += below } else { below += 1.0 }
    }
    let exact = ordered / (below * (sorted.len() as f64 - below));
    let auc = validation.report().figures.auc.unwrap();
    assert!((auc - exact).abs() < 1e-3, "{auc} beside {exact}");
}

#[test]
fn a_perfect_base_rate_has_entropy_and_calibration_one() {
    let mut validation = Validation::new(Loss::Logistic);
    (0..1000).for_each(|i| validation.add(0.25, f64::from(u8::from(i % 4 == 0)), 2.0));
    let report = validation.report().figures;
    assert!((report.normalized_entropy.unwrap() - 1.0).abs() < 1e-12);
    assert!((report.calibration.unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(report.auc, Some(0.5));
    assert_eq!(report.rmse, None);
}

#[test]
fn the_window_forgets_and_the_state_does_not() {
    let mut validation = Validation::new(Loss::Squared);
    (0..15_000).for_each(|_| validation.add(1.0, 0.0, 1.0));
    (0..25_000).for_each(|_| validation.add(0.0, 0.0, 1.0));
    assert_eq!(validation.window().figures.rmse, Some(0.0));
    assert!(validation.report().figures.rmse.unwrap() > 0.5);
    let mut other = Validation::new(Loss::Squared);
    assert!(other.restore(&validation.state()));
    assert_eq!(other, validation);
    assert!(!Validation::new(Loss::Logistic).restore(&validation.state()));
}

#[test]
fn bins_hold_each_prediction_beside_its_label() {
    let edges = [0.0, 0.1, 0.5, 0.9];
    let mut validation = Validation::new(Loss::Logistic);
    let mut exact = [[0.0; 3]; 4];
    for (i, (p, y)) in stream().enumerate() {
        let weight = 1.0 + (i % 3) as f64;
        validation.add(p, y, weight);
        let sums = &mut exact[edges.iter().rposition(|&edge| p >= edge).unwrap()];
        for (sum, value) in sums.iter_mut().zip([p, y, 1.0]) {
            *sum += weight * value;
        }
    }
    let [life, window] = validation.calibration(&edges);
    assert_eq!((life.len(), window.len()), (4, 4));
    for (bin, [p, y, weight]) in life.iter().zip(exact) {
        assert!((bin.weight / weight - 1.0).abs() < 0.02, "{bin:?} {weight}");
        assert!((bin.prediction - p / weight).abs() < 0.003, "{bin:?} {}", p / weight);
        assert!((bin.label - y / weight).abs() < 0.01, "{bin:?} {}", y / weight);
    }
    let total = |bins: &[CalibrationBin]| bins.iter().map(|bin| bin.weight).sum::<f64>();
    assert!((total(&life) - exact.iter().map(|sums| sums[2]).sum::<f64>()).abs() < 1e-6);
    assert!(total(&window) < total(&life));
    let mut one = Validation::new(Loss::Logistic);
    one.add(0.95, 1.0, 2.0);
    assert_eq!(one.calibration(&edges)[0].len(), 1, "what is empty is left out");
    assert_eq!(Validation::new(Loss::Squared).calibration(&edges), [const { Vec::new() }; 2]);
}

#[test]
fn a_curve_has_a_point_at_the_same_examples_however_they_come() {
    let records: Vec<_> = stream().map(|(p, y)| (p, y, 1.0)).collect();
    let (mut by_one, mut by_many) = (Validation::new(Loss::Logistic), Validation::new(Loss::Logistic));
    by_one.trace();
    by_many.trace();
    records.iter().for_each(|&(p, y, weight)| by_one.add(p, y, weight));
    records.chunks(777).for_each(|some| by_many.add_all(some.iter().copied()));
    let curve = by_one.curve();
    assert_eq!(curve, by_many.curve());
    assert!((100..=201).contains(&curve.len()), "{}", curve.len());
    let last = curve.last().unwrap();
    assert_eq!((last.examples, last.life), (30_000, by_one.report().figures));
    assert_eq!(last.window, by_one.window().figures);
    let mut untraced = Validation::new(Loss::Logistic);
    records.iter().for_each(|&(p, y, weight)| untraced.add(p, y, weight));
    assert_eq!(untraced.curve(), std::slice::from_ref(last));
    assert_eq!(untraced.state(), by_one.state(), "it is no part of the state");
}

#[test]
fn figures_do_not_depend_on_how_many_are_noted_at_once() {
    for loss in [Loss::Logistic, Loss::Squared, Loss::Hinge, Loss::Quantile(0.3), Loss::Poisson] {
        let (mut each, mut all) = (Validation::new(loss), Validation::new(loss));
        let records: Vec<_> = stream().map(|(p, y)| (p, y, 1.0 + p)).collect();
        records.iter().for_each(|&(p, y, weight)| each.note(&alone(loss, p, y, weight)));
        records.chunks(61).for_each(|some| all.add_all(some.iter().copied()));
        assert_eq!(all, each, "{loss:?}");
    }
}

fn alone(loss: Loss, prediction: f64, label: f64, weight: f64) -> Judged {
    let (value, bin) = (loss.value(prediction, label), bin(loss, prediction));
    Judged { loss: value, prediction, label, weight, bin }
}
