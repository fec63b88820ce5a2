//! Makes registered models a SQL function: pinned when planned, scored when executed.
