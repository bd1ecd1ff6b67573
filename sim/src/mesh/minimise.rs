//! Delta debugging (Zeller 1999): the smallest list of faults that still breaks the same law.

use super::{
    outcome::{Outcome, play},
    shape::Options,
};

/// Most runs that one schedule is worth.
const RUNS_MAX: usize = 400;

/// A failing run with as few faults as were found, by their numbers.
pub(crate) struct Minimal {
    pub(crate) only: Vec<usize>,
    /// With its timeline.
    pub(crate) outcome: Outcome,
}

/// Reduces the faults of a run that broke a law.
pub(crate) fn minimise(failed: &Outcome, options: &Options) -> Minimal {
    let law = failed.violation.as_ref().map(|violation| violation.law);
    let end_ms = failed.violation.as_ref().map_or(0, |broken| broken.at_ms);
    let mut runs = 0;
    let mut fails = |only: &[usize]| {
        runs += 1;
        let outcome = play(failed.seed, options, Some(only), false);
        runs <= RUNS_MAX && outcome.violation.map(|violation| violation.law) == law
    };

    // Faults after the violation did not cause it.
    let numbered = failed.faults.iter().enumerate();
    let all: Vec<usize> = (0..failed.faults.len()).collect();
    let before: Vec<usize> = numbered
        .filter(|(_, fault)| fault.at_ms <= end_ms)
        .map(|(number, _)| number)
        .collect();
    let start = if fails(&before) { before } else { all };
    let only = reduce(start, &mut fails);

    let outcome = play(failed.seed, options, Some(&only), true);
    Minimal { only, outcome }
}

/// Leaves out ever smaller parts of `items`, as long as `fails` holds for the rest.
fn reduce(mut items: Vec<usize>, fails: &mut impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        let mut begin = 0;
        while begin < items.len() {
            let end = (begin + size).min(items.len());
            let rest: Vec<usize> = [&items[..begin], &items[end..]].concat();
            if fails(&rest) {
                items = rest;
            } else {
                begin = end;
            }
        }

        size = match size {
            1 => 0,
            _ => size.div_ceil(2),
        };
    }

    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_list_that_still_fails_is_found() {
        let needed = [3, 17, 40];
        let mut fails = |only: &[usize]| needed.iter().all(|number| only.contains(number));
        assert_eq!(reduce((0..64).collect(), &mut fails), needed);
    }
}
