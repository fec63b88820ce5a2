//! Assembles Ballista's scheduler and executors with our nodes, codec and rules.
