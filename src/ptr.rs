//! Where the caller's pointers end: checked once here, they become values, and outputs that know how to be filled.
//!
//! Everything is read and written unaligned (a caller's packed structure may be anywhere), a
//! NULL pointer is an error unless the standard gives it a meaning, and nothing is allocated for a length or count
//! that no honest caller has. Inputs and outputs are kept as raw pointers until the moment of use, and copied like
//! `memmove`, since the standard does not forbid them to overlap.
//!
//! What can't be checked is the caller's promise: a pointer that is not NULL points to as much memory as the length
//! beside it says, valid until the call returns. Every `unsafe fn` here has that as its contract.
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
/// Longer than any value that a token with 16 slots and a state folder can be asked to keep.
const MAX_VALUE: usize = 1 << 20;
/// Values of so many bytes in one template are worth asking whether there is memory for them.
const LARGE_TEMPLATE: usize = 1 << 16;
/// How often the values of a template are in memory at most: as values, in objects, and twice as long in hex digits.
const COPIES: usize = 8;
/// Bytes handed to the caller at a time by [`OutBytes::fill`].
const CHUNK: usize = 4096;

/// The end of a program's memory: with addresses of 64 bits, Linux keeps the upper half to itself.
const MEMORY_END: usize = if usize::BITS == 64 { isize::MAX as usize } else { usize::MAX };

/// The length of the bytes at `data`: 0, or as many as one object can have that ends where the memory does, or before.
fn bytes_at(data: *const u8, len: CK_ULONG) -> Result<usize> {
    if len != 0 && data.is_null() {
        return Err(Error::ArgumentsBad(&"a buffer is NULL, but its length is not 0"));
    }
    let fits = |len: &usize| {
        isize::try_from(*len).is_ok() && data.addr().checked_add(*len).is_some_and(|end| end <= MEMORY_END)
    };
    match usize::try_from(len).ok().filter(|len| *len == 0 || fits(len)) {
        Some(len) => Ok(len),
        None => Err(Error::ArgumentsBad(&"a buffer is longer than the memory behind its address")),
    }
}

/// Copies `len` bytes from `data`: `None` if that is NULL, which is allowed only for no bytes.
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

/// Input bytes of a caller: NULL only if there are none.
///
/// # Safety
/// See the module's contract.
pub unsafe fn input(data: *const CK_BYTE, len: CK_ULONG) -> Result<InBuf> {
    Ok(InBuf { data, len: bytes_at(data, len)? })
}

impl InBuf {
    /// The bytes. To be let go of before any output is written: the two may overlap.
    pub fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: not NULL with a length (checked by `input`), and promised by the caller until the call returns.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

/// A PIN: None if the pointer is NULL (the standard's protected authentication path).
///
/// # Safety
/// See the module's contract.
pub unsafe fn pin(pin: *const CK_UTF8CHAR, len: CK_ULONG) -> Result<Option<InBuf>> {
    // SAFETY: the same contract.
    let bytes = unsafe { input(pin, len) }?;
    Ok((!pin.is_null()).then_some(bytes))
}

/// The 32 blank-padded bytes of a token's label, without the padding.
///
/// # Safety
/// See the module's contract; the label has 32 bytes.
pub unsafe fn label(label: *const CK_UTF8CHAR) -> Result<String> {
    // SAFETY: the same contract.
    let bytes = unsafe { copy_bytes(label, 32) }?.ok_or(Error::ArgumentsBad(&"the label is NULL"))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::ArgumentsBad(&"the label is not UTF-8"))?;
    Ok(text.trim_end_matches(' ').to_owned())
}

/// A pointer that must be NULL.
pub fn must_be_null<T>(reserved: *const T) -> Result<()> {
    if reserved.is_null() {
        Ok(())
    } else {
        Err(Error::ArgumentsBad(&"a reserved pointer is not NULL"))
    }
}

/// One value of the caller's, where NULL means none.
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

/// Where one result goes.
pub struct Out<T>(*mut T);

/// Where one result goes, which may not be NULL.
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
    /// Hands the result over.
    pub fn set(self, value: T) {
        // SAFETY: not NULL (checked by `out`), and promised by the caller to have room for a T.
        unsafe { self.0.write_unaligned(value) }
    }
}

/// Output bytes of a length that the caller must be told: a buffer with the standard's two-call convention.
pub struct OutBuf {
    data: *mut u8,
    len: *mut CK_ULONG,
}

/// What a caller's buffer means for a result of known length.
pub enum Room {
    /// The caller only asked for the length, which it has now.
    Query,
    /// The buffer is too short. The caller has the length now.
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
    /// Whether the caller only asks for the length.
    pub fn is_query(&self) -> bool {
        self.data.is_null()
    }

    /// Whether the buffer has room for so many bytes. The caller is told nothing.
    pub fn has_room_for(&self, needed: usize) -> bool {
        // SAFETY: not NULL (checked by `output`), and promised by the caller to hold a CK_ULONG.
        let available = unsafe { self.len.read_unaligned() };
        available >= length(needed)
    }

    /// Compares the buffer with the `needed` length, which the caller is told in every case.
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
    /// Hands the result over. It must have the length that was asked for.
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
    /// Fills the buffer with what `source` gives, a piece at a time (the length may be any, our memory is not).
    ///
    /// # Errors
    /// The first of `source`.
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
    /// Hands the list over, or only its length if that was asked.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; the caller has the length then.
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
        // SAFETY: not NULL, and the caller promised `available` elements. Copied as bytes, so alignment is no matter.
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
    /// Hands over as much of the list as there is room for, and returns how many that were.
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

/// A template of an object, well formed. See [`search_template`].
///
/// # Safety
/// See the module's contract.
pub unsafe fn template(attributes: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Template> {
    // SAFETY: the same contract.
    let template = unsafe { search_template(attributes, count) }?;
    template.check_form()?;
    Ok(template)
}

/// A template, its values copied. A value that holds an array of attributes is copied as the bytes it is: the
/// pointers in it are never followed.
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
        // What becomes of the values copies them: an object, the text of the state file. Better no object than no process.
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
    /// Each element in turn.
    pub fn each(self) -> impl Iterator<Item = AttributeRequest> {
        // SAFETY: `index` is less than the count that the caller promised.
        (0..self.count).map(move |index| AttributeRequest(unsafe { self.attributes.add(index) }))
    }
}

impl AttributeRequest {
    /// The attribute asked for.
    pub fn attribute(&self) -> CK_ATTRIBUTE_TYPE {
        // SAFETY: an element of the caller's array (checked for NULL by `attribute_requests`).
        unsafe { self.0.read_unaligned() }.type_
    }

    /// Whether there is room for so many bytes.
    pub fn has_room_for(&self, len: usize) -> bool {
        // SAFETY: an element of the caller's array.
        let attribute = unsafe { self.0.read_unaligned() };
        !attribute.pValue.is_null() && attribute.ulValueLen >= length(len)
    }

    /// Answers the length alone, where there is no room for the value.
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

    /// Hands over the value, or its length if that was asked.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; the element says CK_UNAVAILABLE_INFORMATION then, as the standard wants.
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

    /// Says that the attribute's value can't be had.
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
