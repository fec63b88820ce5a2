//! What a split asks, in the one form in which ranks answer it: at most this, or more.

use std::collections::BTreeSet;

use super::cuts::Cut;
use super::description::{Comparison, Split, TreeNode};

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

/// A question whether a value is one of several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    pub(super) feature: u32,
    /// The bits of the members, sorted.
    members: Vec<u64>,
    pub(super) missing_is_member: bool,
}

impl Membership {
    fn new(feature: u32, members: &[f64], missing_is_member: bool) -> Membership {
        let members: BTreeSet<u64> = members.iter().filter(|it| !it.is_nan()).map(|it| (it + 0.0).to_bits()).collect();
        Membership { feature, members: members.into_iter().collect(), missing_is_member }
    }

    /// The two ends of each member: a member is what lies between them.
    pub(super) fn cuts(&self) -> impl Iterator<Item = Cut> {
        let members = self.members.iter().map(|&bits| f64::from_bits(bits));
        members.flat_map(|at| [true, false].map(|strict| Cut { at, strict }))
    }
}

/// A split as a question, and where its answers lead: yes to the left.
pub(super) struct Fork {
    pub(super) question: Question,
    pub(super) left: usize,
    pub(super) right: usize,
}

impl Fork {
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
                let question = Question::Membership(Membership::new(split.feature, &[at], false));
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
        let question = Question::Membership(Membership::new(first.feature, &members, missing_is_member));
        Fork { question, left: first.yes, right: last.no }
    }
}
