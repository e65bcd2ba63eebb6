//! One module a hook: gather the facts, let the library decide, act on the verdict.

pub(crate) mod tc;
