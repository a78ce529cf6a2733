//! What a person gives a command: files, values on the command line ([`values`]), and secrets ([`secret`]).

pub mod secret;
pub mod values;
