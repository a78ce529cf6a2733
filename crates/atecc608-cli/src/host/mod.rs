//! What this machine has: I2C adapters ([`adapters`]), the installed module ([`module`]).

pub mod adapters;
pub mod module;
