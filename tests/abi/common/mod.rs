// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by the tests of the C functions: the built module, loaded like by any PKCS#11 client; simulated chips for it;
//! and other processes that use it, too.

pub mod adapter;
pub mod c_program;
pub mod codes;
pub mod fork;
pub mod functions;
pub mod keys;
pub mod message;
pub mod module;
pub mod one_key;
pub mod openssl;
pub mod pin;
pub mod process;
pub mod secrets;
pub mod signers;
pub mod tap;
pub mod templates;

pub use atecc608_testkit::built::module as module_path;
pub use atecc608_testkit::chip;
