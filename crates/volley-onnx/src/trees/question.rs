//! What a split asks, in the one form in which ranks answer it: at most this, or more.

use std::collections::BTreeSet;

use super::cuts::Cut;
use super::description::{Comparison, Ranges, Split, TreeNode};

/// A question to a feature.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    /// Whether it lies before the cut; missing values do where they come first.
    Inequality {
        feature: u32,
        cut: Cut,
        missing_first: bool,
    },
    Membership(Membership),
}

/// A question whether a value is one of several, or lies in one of several ranges.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    pub(super) feature: u32,
    /// The cuts at which the answer turns, in no order: the bits of a number, and whether the cut is strict.
    turns: Vec<(u64, bool)>,
    /// What it is before all of them.
    pub(super) first_is_member: bool,
    pub(super) missing_is_member: bool,
}

impl Membership {
    /// A member is what lies between its two cuts.
    fn values(feature: u32, members: &[f64], missing_is_member: bool) -> Membership {
        let members: BTreeSet<u64> = members.iter().filter(|it| !it.is_nan()).map(|it| (it + 0.0).to_bits()).collect();
        let turns = members.into_iter().flat_map(|bits| [(bits, true), (bits, false)]).collect();
        Membership { feature, turns, first_is_member: false, missing_is_member }
    }

    fn ranges(ranges: &Ranges) -> Membership {
        let turns = ranges.starts.iter().map(|start| ((start + 0.0).to_bits(), true)).collect();
        let Ranges { feature, first_is_yes, missing_is_yes, .. } = *ranges;
        Membership { feature, turns, first_is_member: first_is_yes, missing_is_member: missing_is_yes }
    }

    /// Where the answer turns.
    pub(super) fn cuts(&self) -> impl Iterator<Item = Cut> {
        self.turns.iter().map(|&(bits, strict)| Cut { at: f64::from_bits(bits), strict })
    }
}

/// A split as a question, and where its answers lead: yes to the left.
pub(super) struct Fork {
    pub(super) question: Question,
    pub(super) left: usize,
    pub(super) right: usize,
}

impl Fork {
    /// The whole of a search.
    pub(super) fn search(ranges: &Ranges) -> Fork {
        Fork { question: Question::Membership(Membership::ranges(ranges)), left: ranges.yes, right: ranges.no }
    }

    /// `None` for a leaf.
    pub(super) fn of(tree: &[TreeNode], node: usize) -> Option<Fork> {
        let TreeNode::Split(split) = &tree[node] else { return None };
        let (at, missing_is_yes) = (split.threshold, split.missing_is_yes);
        let below = |strict| (Cut { at, strict }, missing_is_yes, split.yes, split.no);
        let above = |strict| (Cut { at, strict }, !missing_is_yes, split.no, split.yes);
        let (cut, missing_first, left, right) = match split.comparison {
            Comparison::LessOrEqual => below(false),
            Comparison::Less => below(true),
            // Nothing is above NaN, and nothing before it.
            Comparison::Greater | Comparison::GreaterOrEqual if at.is_nan() => below(false),
            Comparison::Greater => above(false),
            Comparison::GreaterOrEqual => above(true),
            Comparison::Equal => return Some(Fork::chain(tree, split)),
            Comparison::NotEqual => {
                let question = Question::Membership(Membership::values(split.feature, &[at], false));
                return Some(Fork { question, left: split.no, right: split.yes });
            }
        };
        Some(Fork { question: Question::Inequality { feature: split.feature, cut, missing_first }, left, right })
    }

    /// Exporters write "one of several" as a chain of equalities with the same yes.
    fn chain(tree: &[TreeNode], first: &Split) -> Fork {
        let (mut members, mut missing_is_member, mut last) = (vec![first.threshold], first.missing_is_yes, first);
        while let Some(TreeNode::Split(next)) = tree.get(last.no)
            && (next.comparison, next.feature, next.yes) == (Comparison::Equal, first.feature, first.yes)
            && members.len() < tree.len()
        {
            members.push(next.threshold);
            missing_is_member |= next.missing_is_yes;
            last = next;
        }
        let question = Question::Membership(Membership::values(first.feature, &members, missing_is_member));
        Fork { question, left: first.yes, right: last.no }
    }
}
