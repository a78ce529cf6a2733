//! What setting up any cloud needs: the key in the chip and its certificates ([`identity`]), a folder of files that are never
//! overwritten silently ([`folder`]), other programs ([`program`]), and what was found when all of it was looked at ([`report`]).

pub mod folder;
pub mod identity;
pub mod names;
pub mod pem;
pub mod program;
pub mod report;
