//! Publishes a set of files all at once or not at all on any object store, and resumes from what is done.
