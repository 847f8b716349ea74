//! stub: replaced next.
