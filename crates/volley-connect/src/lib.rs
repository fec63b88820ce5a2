//! Tables in, results out: sources, formats, and the partition-preserving write node.
