//! Turns a statement into pinned plans over predict and connect, and drives their splits in this process.
