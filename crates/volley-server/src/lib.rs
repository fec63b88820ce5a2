//! The one front door of a cluster: HTTP, TLS, authentication.
