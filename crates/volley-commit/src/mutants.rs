//! Faults of the protocol that the model test plants, one at a time, to see that it would notice them.
//!
//! Only the crate's own unit tests can plant one. In every other build [`planted`] is `false` at compile time.

/// One deliberate fault, named for what the protocol would do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// An error of a create is taken for success, without reading back.
    LostMeansDone,
    /// "Already exists" is taken to mean that another attempt won.
    ExistsMeansLost,
    /// All attempts at a split stage under one name.
    SharedStage,
    /// A receipt can be overwritten.
    LastReceiptWins,
    /// The outcome is a plain put.
    OutcomeByPut,
    /// A version is claimed by a plain put.
    ClaimByPut,
    /// The marker stays while the destination changes.
    MarkerKept,
    /// A part is read and written instead of moved.
    ClientCopy,
    /// What was moved stays in staging.
    StagingKept,
    /// A new owner does not wait for the requests of the one before.
    NoTakeoverDelay,
    /// An owner does not look whether it was replaced.
    NoFence,
    /// A part does not carry its job's name.
    NameWithoutJob,
    /// What vanished from staging is not made again.
    NoRepair,
    /// Repairs stay possible after the end.
    RepairsNotClosed,
    /// The turn is removed without looking whether the job's owner was replaced.
    TurnUnfenced,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Plants a fault in what this thread runs from now on, or none.
#[cfg(test)]
pub(crate) fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// Whether this fault is planted.
#[cfg(test)]
pub(crate) fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether this fault is planted: never.
#[cfg(not(test))]
pub(crate) const fn planted(_: Mutant) -> bool {
    false
}
