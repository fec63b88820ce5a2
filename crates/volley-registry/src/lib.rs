//! Finds a model version and brings its bytes here, verified.
