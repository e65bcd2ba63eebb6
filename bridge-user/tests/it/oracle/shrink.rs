//! A smaller case that fails too.

use super::play::Step;

/// The steps without which it does not fail, and their frames as short and plain as can be. `fails`
/// says whether these steps fail, from the first state of the topology on.
pub(super) fn shrink(steps: &[Step], mut fails: impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut least = fewest(steps, &mut fails);
    for at in 0..least.len() {
        if let Step::Send { from, frame } = least[at].clone() {
            let mut with = |frame: &[u8]| {
                let mut steps = least.clone();
                steps[at] = Step::Send {
                    from,
                    frame: frame.to_vec(),
                };
                fails(&steps)
            };
            let frame = plainest(frame, &mut with);
            least[at] = Step::Send { from, frame };
        }
    }
    least
}

/// Delta debugging (Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input, 2002):
/// leaves out ever smaller parts.
fn fewest(steps: &[Step], fails: &mut impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut least = steps.to_vec();
    let mut part = least.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < least.len() {
            let end = (at + part).min(least.len());
            let rest = [&least[..at], &least[end..]].concat();
            if fails(&rest) {
                least = rest;
            } else {
                at = end;
            }
        }
        part /= 2;
    }
    least
}

/// Header of the shortest frame that the kernel sends.
const ETHERNET: usize = 14;

/// A frame that fails too, cut short, its bytes zero as far as that goes.
fn plainest(frame: Vec<u8>, fails: &mut impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut least = frame;
    cut(&mut least, fails);
    let mut step = least.len();
    while step > 0 {
        for at in (0..least.len()).step_by(step) {
            let end = (at + step).min(least.len());
            let mut plainer = least.clone();
            plainer[at..end].fill(0);
            if plainer != least && fails(&plainer) {
                least = plainer;
            }
        }
        step /= 2;
    }
    // Without what said that there has to be more.
    cut(&mut least, fails);
    least
}

fn cut(frame: &mut Vec<u8>, fails: &mut impl FnMut(&[u8]) -> bool) {
    let mut step = frame.len() - ETHERNET;
    while step > 0 {
        let length = frame.len().saturating_sub(step).max(ETHERNET);
        if length < frame.len() && fails(&frame[..length]) {
            frame.truncate(length);
        } else {
            step /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    //! What is left of a case whose failure is known.

    use super::super::play::Step;
    use super::shrink;

    #[test]
    fn what_does_not_matter_goes() {
        let send = |byte| Step::Send {
            from: 1,
            frame: vec![byte; 60],
        };
        let mut steps: Vec<Step> = (1..=50).map(send).collect();
        steps.insert(20, Step::Disconnect(2));
        // It takes a frame with a certain byte after a disconnect.
        let fails = |steps: &[Step]| {
            let gone = steps.iter().position(|s| *s == Step::Disconnect(2));
            let is_it =
                |s: &Step| matches!(s, Step::Send { frame, .. } if frame.get(20) == Some(&40));
            gone.is_some_and(|gone| steps[gone..].iter().any(is_it))
        };
        let mut frame = vec![0; 21];
        frame[20] = 40;
        let least = [Step::Disconnect(2), Step::Send { from: 1, frame }];
        assert_eq!(shrink(&steps, fails), least);
    }
}
