//! Tests that cross crates; see `tests/` and `golden/`.
