//! Order statistics of samples.

/// Median of samples; the upper of the two middle ones where their number is even.
///
/// # Panics
///
/// Without samples, as [`quantile`].
pub(super) fn median(samples: &[f64]) -> f64 {
    quantile(samples, 50)
}

/// The sample that `percent` of them are below.
///
/// # Panics
///
/// Without samples: every row is measured at least once.
pub(super) fn quantile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    //! On samples whose order is known.

    use super::{median, quantile};

    #[test]
    fn quantiles_are_samples_by_rank() {
        let samples = [5.0, 1.0, 4.0, 2.0, 3.0];
        let found = [0, 25, 50, 75, 100].map(|percent| quantile(&samples, percent));
        assert!(
            found
                .iter()
                .zip([1.0, 2.0, 3.0, 4.0, 5.0])
                .all(|(a, b)| a.total_cmp(&b).is_eq())
        );
        assert!(median(&[7.0]).total_cmp(&7.0).is_eq());
    }
}
