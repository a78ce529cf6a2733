// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the caller's pointers once and converts them to values and output buffers.
//!
//! All accesses are unaligned (a caller's packed structure may be anywhere), a NULL pointer is an error unless the
//! standard gives it a meaning, and no memory is allocated for an implausible length or count. Inputs and outputs are
//! kept as raw pointers until they are used, and copied like `memmove`, because the standard allows them to overlap.
//!
//! The caller's promise can't be checked: a pointer that is not NULL points to as much memory as its length argument
//! says, valid until the call returns. This is the contract of every `unsafe fn` here.
#![allow(unsafe_code)]

mod parameters;

use std::ptr;

use cryptoki_sys::*;
use zeroize::Zeroizing;

pub use parameters::*;

use super::error::{Error, Result};
use super::types::length;
use atecc608_token::buffer::{copied, reserve};
use atecc608_token::Template;

/// More attributes in one template than any client has.
const MAX_ATTRIBUTES: CK_ULONG = 1024;
/// Longer than any value that a token with 16 slots and a state folder can store.
const MAX_VALUE: usize = 1 << 20;
/// Templates with this many bytes of values get a check whether there is enough memory.
const LARGE_TEMPLATE: usize = 1 << 16;
/// The maximum number of copies of a template's values in memory: as values, in objects, and twice as long in hex
/// digits.
const COPIES: usize = 8;
/// Bytes per piece in [`OutBytes::fill`].
const CHUNK: usize = 4096;

/// The end of a program's memory: with 64-bit addresses, Linux reserves the upper half for the kernel.
const MEMORY_END: usize = if usize::BITS == 64 { isize::MAX as usize } else { usize::MAX };

/// Checks the length of the bytes at `data`: at most that of an object that ends within the memory.
fn bytes_at(data: *const u8, len: CK_ULONG) -> Result<usize> {
    if len != 0 && data.is_null() {
        return Err(Error::ArgumentsBad(&"a buffer is NULL, but its length is not 0"));
    }
    let fits = |len: &usize| {
        isize::try_from(*len).is_ok() && data.addr().checked_add(*len).is_some_and(|end| end <= MEMORY_END)
    };
    match usize::try_from(len).ok().filter(|len| *len == 0 || fits(len)) {
        Some(len) => Ok(len),
        None => Err(Error::ArgumentsBad(&"a buffer extends past the end of the address space")),
    }
}

/// Copies `len` bytes from `data`. Returns `None` if `data` is NULL, which is allowed only with length 0.
///
/// # Safety
/// See the module's contract.
unsafe fn copy_bytes(data: *const u8, len: usize) -> Result<Option<Vec<u8>>> {
    if len == 0 {
        return Ok(Some(Vec::new()));
    }
    if data.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL here, and the caller promises `len` bytes, which a cap has bounded.
    let bytes = unsafe { std::slice::from_raw_parts(data, len) };
    Ok(Some(copied(bytes)?))
}

/// Input bytes.
pub struct InBuf {
    data: *const u8,
    len: usize,
}

/// Returns the input bytes of a caller: NULL only with length 0.
///
/// # Safety
/// See the module's contract.
pub unsafe fn input(data: *const CK_BYTE, len: CK_ULONG) -> Result<InBuf> {
    Ok(InBuf { data, len: bytes_at(data, len)? })
}

impl InBuf {
    /// Returns the bytes. The reference must end before any output is written: the two may overlap.
    pub fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: not NULL with a length (checked by `input`), and promised by the caller until the call returns.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

/// Returns a PIN: `None` if the pointer is NULL (the standard's protected authentication path).
///
/// # Safety
/// See the module's contract.
pub unsafe fn pin(pin: *const CK_UTF8CHAR, len: CK_ULONG) -> Result<Option<InBuf>> {
    // SAFETY: the same contract.
    let bytes = unsafe { input(pin, len) }?;
    Ok((!pin.is_null()).then_some(bytes))
}

/// Returns the 32 blank-padded bytes of a token's label, without the padding.
///
/// # Safety
/// See the module's contract; the label has 32 bytes.
pub unsafe fn label(label: *const CK_UTF8CHAR) -> Result<String> {
    // SAFETY: the same contract.
    let bytes = unsafe { copy_bytes(label, 32) }?.ok_or(Error::ArgumentsBad(&"the label is NULL"))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::ArgumentsBad(&"the label is not UTF-8"))?;
    Ok(text.trim_end_matches(' ').to_owned())
}

/// Checks that a pointer is NULL.
pub fn must_be_null<T>(reserved: *const T) -> Result<()> {
    if reserved.is_null() {
        Ok(())
    } else {
        Err(Error::ArgumentsBad(&"a reserved pointer is not NULL"))
    }
}

/// Returns one value of the caller, `None` for NULL.
///
/// # Safety
/// See the module's contract.
pub unsafe fn optional<T: Copy>(value: *const T) -> Option<T> {
    // SAFETY: not NULL, and promised by the caller to hold a T.
    (!value.is_null()).then(|| unsafe { value.read_unaligned() })
}

/// Whether a NUL-terminated string is this one. Reads no further than the first difference.
///
/// # Safety
/// See the module's contract; the string ends with a NUL, and is not NULL.
pub unsafe fn c_string_is(string: *const CK_UTF8CHAR, expected: &std::ffi::CStr) -> bool {
    let mut expected = expected.to_bytes_with_nul().iter().enumerate();
    // SAFETY: each byte read follows bytes that were not NUL, so it belongs to the string or is its NUL.
    expected.all(|(index, byte)| unsafe { *string.add(index) } == *byte)
}

/// The destination of one result.
pub struct Out<T>(*mut T);

/// The destination of one result, which may not be NULL.
///
/// # Safety
/// See the module's contract.
pub unsafe fn out<T>(place: *mut T) -> Result<Out<T>> {
    if place.is_null() {
        Err(Error::ArgumentsBad(&"an output pointer is NULL"))
    } else {
        Ok(Out(place))
    }
}

impl<T> Out<T> {
    /// Writes the result.
    pub fn set(self, value: T) {
        // SAFETY: not NULL (checked by `out`), and promised by the caller to have room for a T.
        unsafe { self.0.write_unaligned(value) }
    }
}

/// A buffer with the standard's two-call convention, whose length is written back to the caller.
pub struct OutBuf {
    data: *mut u8,
    len: *mut CK_ULONG,
}

/// The result of comparing a caller's buffer with a known length.
pub enum Room {
    /// The caller only queries the length, which has been written.
    Query,
    /// The buffer is too short. The length has been written.
    TooSmall(Error),
    /// The result fits.
    Fits(OutSlot),
}

/// A buffer that has room for the result.
pub struct OutSlot(OutBuf, usize);

/// An output buffer. Its length may not be NULL; the buffer may, which asks for the length.
///
/// # Safety
/// See the module's contract.
pub unsafe fn output(data: *mut CK_BYTE, len: *mut CK_ULONG) -> Result<OutBuf> {
    if len.is_null() {
        Err(Error::ArgumentsBad(&"the output's length is NULL"))
    } else {
        Ok(OutBuf { data, len })
    }
}

impl OutBuf {
    /// Whether the caller only queries the length.
    pub fn is_query(&self) -> bool {
        self.data.is_null()
    }

    /// Whether the buffer has room for this many bytes. Writes nothing.
    pub fn has_room_for(&self, needed: usize) -> bool {
        // SAFETY: not NULL (checked by `output`), and promised by the caller to hold a CK_ULONG.
        let available = unsafe { self.len.read_unaligned() };
        available >= length(needed)
    }

    /// Compares the buffer with the `needed` length, which is written to the caller in every case.
    pub fn room_for(self, needed: usize) -> Room {
        // SAFETY: not NULL (checked by `output`), and promised by the caller to hold a CK_ULONG.
        let available = unsafe {
            let available = self.len.read_unaligned();
            self.len.write_unaligned(length(needed));
            available
        };
        if self.data.is_null() {
            Room::Query
        } else if available < length(needed) {
            Room::TooSmall(Error::BufferTooSmall(needed))
        } else {
            Room::Fits(OutSlot(self, needed))
        }
    }
}

impl OutSlot {
    /// Writes the result, which must have the length that was passed to `room_for`.
    pub fn write(self, result: &[u8]) {
        let Self(OutBuf { data, len }, room) = self;
        let written = result.len().min(room);
        // SAFETY: `data` is not NULL and has at least `room` bytes (checked by `room_for`); `len` is not NULL.
        unsafe {
            ptr::copy(result.as_ptr(), data, written);
            len.write_unaligned(length(written));
        }
    }
}

/// Output bytes of a length that the caller chose.
pub struct OutBytes {
    data: *mut u8,
    len: usize,
}

/// Output bytes of a length that the caller chose: NULL only if there are none.
///
/// # Safety
/// See the module's contract.
pub unsafe fn out_bytes(data: *mut CK_BYTE, len: CK_ULONG) -> Result<OutBytes> {
    Ok(OutBytes { data, len: bytes_at(data, len)? })
}

impl OutBytes {
    /// Fills the buffer from `source`, a piece at a time, so that a long buffer needs little memory.
    ///
    /// # Errors
    /// The first error of `source`.
    pub fn fill(self, mut source: impl FnMut(&mut [u8]) -> Result<()>) -> Result<()> {
        let mut piece = Zeroizing::new(vec![0; self.len.min(CHUNK)]);
        let mut done = 0;
        while done < self.len {
            let piece = &mut piece[..(self.len - done).min(CHUNK)];
            source(piece)?;
            // SAFETY: not NULL with a length (checked by `out_bytes`); `done + piece.len()` is at most `len`.
            unsafe { ptr::copy(piece.as_ptr(), self.data.add(done), piece.len()) };
            done += piece.len();
        }
        Ok(())
    }
}

/// A list with the two-call convention, counted in elements.
pub struct OutList<T> {
    data: *mut T,
    count: *mut CK_ULONG,
}

/// A list with the two-call convention. Its count may not be NULL.
///
/// # Safety
/// See the module's contract.
pub unsafe fn out_list<T>(data: *mut T, count: *mut CK_ULONG) -> Result<OutList<T>> {
    if count.is_null() {
        Err(Error::ArgumentsBad(&"the list's count is NULL"))
    } else {
        Ok(OutList { data, count })
    }
}

impl<T: Copy> OutList<T> {
    /// Writes the list, or only its length if that was queried.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] if the list does not fit; the length is written in any case.
    pub fn set(self, list: &[T]) -> Result<()> {
        // SAFETY: `count` is not NULL (checked by `out_list`).
        let available = unsafe { self.count.read_unaligned() };
        // SAFETY: as above.
        unsafe { self.count.write_unaligned(length(list.len())) };
        if self.data.is_null() {
            return Ok(());
        }
        if available < length(list.len()) {
            return Err(Error::BufferTooSmall(list.len()));
        }
        // SAFETY: not NULL, and the caller promised `available` elements. Copied as bytes, so alignment does not
        // matter.
        unsafe { ptr::copy(list.as_ptr().cast::<u8>(), self.data.cast::<u8>(), size_of_val(list)) };
        Ok(())
    }
}

/// An array with room for a number of elements that the caller chose.
pub struct OutArray<T> {
    data: *mut T,
    room: usize,
}

/// An array with room for `room` elements: NULL only if there is none.
///
/// # Safety
/// See the module's contract.
pub unsafe fn out_array<T>(data: *mut T, room: CK_ULONG) -> Result<OutArray<T>> {
    if data.is_null() && room != 0 {
        return Err(Error::ArgumentsBad(&"the array is NULL, but its size is not 0"));
    }
    Ok(OutArray { data, room: usize::try_from(room).unwrap_or(usize::MAX) })
}

impl<T: Copy> OutArray<T> {
    /// Writes as much of the list as fits, and returns the number of elements written.
    pub fn set(self, list: impl Iterator<Item = T>) -> usize {
        let mut count = 0;
        for element in list.take(self.room) {
            // SAFETY: not NULL if there is room (checked by `out_array`), and `count` is less than `room`.
            unsafe { self.data.add(count).write_unaligned(element) };
            count += 1;
        }
        count
    }
}

/// The caller's array of attributes, checked for NULL and size.
///
/// # Safety
/// See the module's contract.
unsafe fn attribute_count(attributes: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<usize> {
    if attributes.is_null() && count != 0 {
        return Err(Error::ArgumentsBad(&"a template is NULL, but its count is not 0"));
    }
    if count > MAX_ATTRIBUTES {
        return Err(Error::ArgumentsBad(&"a template has more than 1024 attributes"));
    }
    Ok(count as usize)
}

/// A well-formed template of an object. See [`search_template`].
///
/// # Safety
/// See the module's contract.
pub unsafe fn template(attributes: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Template> {
    // SAFETY: the same contract.
    let template = unsafe { search_template(attributes, count) }?;
    template.check_form()?;
    Ok(template)
}

/// A template with copied values. A value that is an array of attributes is copied as bytes: its pointers are never
/// followed.
///
/// # Safety
/// See the module's contract.
pub unsafe fn search_template(attributes: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Template> {
    // SAFETY: the same contract.
    let count = unsafe { attribute_count(attributes, count) }?;
    let (mut template, mut total) = (Vec::with_capacity(count), 0);
    for index in 0..count {
        // SAFETY: not NULL if `count` is not 0, and `index` is less than `count`.
        let attribute = unsafe { attributes.add(index).read_unaligned() };
        let len = usize::try_from(attribute.ulValueLen).ok().filter(|len| *len <= MAX_VALUE).ok_or_else(|| {
            let text = format!("attribute {:#x}: its length is impossible (more than 1 MiB)", attribute.type_);
            atecc608_token::Error::AttributeValueInvalid(text.into())
        })?;
        // SAFETY: the caller promises `ulValueLen` bytes at `pValue`.
        let value = unsafe { copy_bytes(attribute.pValue.cast(), len) }?
            .ok_or(Error::ArgumentsBad(&"an attribute's value is NULL, but its length is not 0"))?;
        total += value.len();
        template.push((attribute.type_, Zeroizing::new(value)));
    }
    if total > LARGE_TEMPLATE {
        // Users of the values copy them: objects, the text of the state file. It is better to refuse an object than to
        // run out of memory.
        reserve(&mut Vec::new(), COPIES * total)?;
    }
    Ok(Template::new(template))
}

/// The array that C_GetAttributeValue fills.
pub struct AttributeRequests {
    attributes: *mut CK_ATTRIBUTE,
    count: usize,
}

/// One element of it.
pub struct AttributeRequest(*mut CK_ATTRIBUTE);

/// The array that C_GetAttributeValue fills.
///
/// # Safety
/// See the module's contract.
pub unsafe fn attribute_requests(attributes: *mut CK_ATTRIBUTE, count: CK_ULONG) -> Result<AttributeRequests> {
    // SAFETY: the same contract.
    let count = unsafe { attribute_count(attributes, count) }?;
    Ok(AttributeRequests { attributes, count })
}

impl AttributeRequests {
    /// Returns the elements in order.
    pub fn each(self) -> impl Iterator<Item = AttributeRequest> {
        // SAFETY: `index` is less than the count that the caller promised.
        (0..self.count).map(move |index| AttributeRequest(unsafe { self.attributes.add(index) }))
    }
}

impl AttributeRequest {
    /// Returns the requested attribute.
    pub fn attribute(&self) -> CK_ATTRIBUTE_TYPE {
        // SAFETY: an element of the caller's array (checked for NULL by `attribute_requests`).
        unsafe { self.0.read_unaligned() }.type_
    }

    /// Whether there is room for this many bytes.
    pub fn has_room_for(&self, len: usize) -> bool {
        // SAFETY: an element of the caller's array.
        let attribute = unsafe { self.0.read_unaligned() };
        !attribute.pValue.is_null() && attribute.ulValueLen >= length(len)
    }

    /// Writes only the length, if the caller gave no buffer.
    ///
    /// # Errors
    /// As [`AttributeRequest::set`].
    pub fn set_len(self, len: usize) -> Result<()> {
        // SAFETY: an element of the caller's array.
        let mut attribute = unsafe { self.0.read_unaligned() };
        if !attribute.pValue.is_null() {
            self.unavailable();
            return Err(Error::BufferTooSmall(len));
        }
        attribute.ulValueLen = length(len);
        // SAFETY: as above.
        unsafe { self.0.write_unaligned(attribute) };
        Ok(())
    }

    /// Writes the value, or only its length if that was queried.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] if the value does not fit; the length is then CK_UNAVAILABLE_INFORMATION, as the
    /// standard requires.
    pub fn set(self, value: &[u8]) -> Result<()> {
        if !self.has_room_for(value.len()) {
            return self.set_len(value.len());
        }
        // SAFETY: an element of the caller's array.
        let mut attribute = unsafe { self.0.read_unaligned() };
        attribute.ulValueLen = length(value.len());
        // SAFETY: not NULL, and the caller promised `ulValueLen` bytes there, which are enough (checked by
        // `has_room_for`); the element as above.
        unsafe {
            ptr::copy(value.as_ptr(), attribute.pValue.cast(), value.len());
            self.0.write_unaligned(attribute);
        }
        Ok(())
    }

    /// Marks the attribute's value as unavailable.
    pub fn unavailable(self) {
        // SAFETY: an element of the caller's array.
        unsafe {
            let mut attribute = self.0.read_unaligned();
            attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
            self.0.write_unaligned(attribute);
        }
    }
}

#[cfg(test)]
#[path = "ptr_tests.rs"]
mod tests;
