//! UpdateExtra (fact sheet section 3.20).

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::Execute;
use crate::sim::image::Part;
use crate::wire::commands::UpdateExtra;
use crate::wire::config_zone::offset;

impl Execute for UpdateExtra {
    fn execute(&self, core: &mut Core) -> Outcome {
        let (at, value) = match *self {
            UpdateExtra::UserExtra(value) => (offset::USER_EXTRA, value),
            UpdateExtra::UserExtraAdd(value) => (offset::USER_EXTRA_ADD, value),
            UpdateExtra::Decrement(_) => return Err(Refusal::Status(core.switches.update_extra_decrement)),
        };
        allow(core.config().as_bytes()[at] == 0)?;
        if value != 0 {
            core.program(Part::Config, at, &[value])?;
        }
        success()
    }
}
