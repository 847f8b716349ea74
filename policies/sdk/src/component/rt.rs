//! What generated bindings expect of their runtime, so that the SDK needs no crate for it.
//!
//! The component model's ABI asks a module for one thing, `cabi_realloc`: the host allocates arguments through it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr;

/// A returned buffer, freed by the `post-return` of its call.
pub struct Cleanup {
    ptr: *mut u8,
    layout: Layout,
}

impl Cleanup {
    /// A buffer of that layout, and what frees it. An empty layout has no buffer.
    pub fn new(layout: Layout) -> (*mut u8, Option<Cleanup>) {
        if layout.size() == 0 {
            return (ptr::null_mut(), None);
        }
        // SAFETY: the layout is not empty.
        let ptr = unsafe { alloc(layout) };
        if ptr.is_null() {
            handle_alloc_error(layout);
        }
        (ptr, Some(Cleanup { ptr, layout }))
    }

    /// Leaves the buffer to its new owner.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.ptr, self.layout) }
    }
}

/// Runs the module's constructors. A library without C has none, and Rust makes none.
pub fn run_ctors_once() {}

/// Called where the bindings need [`cabi_realloc`] linked; it is exported from this very module.
pub fn maybe_link_cabi_realloc() {}

/// The host's way to allocate in this module's memory.
///
/// # Safety
/// Called by the host alone, by the rules of the component model's ABI.
#[unsafe(export_name = "cabi_realloc")]
pub unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    // SAFETY: the ABI promises a valid alignment, and an `old` that came from here with `old_len` and the same alignment.
    unsafe {
        if new_len == 0 {
            return align as *mut u8;
        }
        let layout =
            Layout::from_size_align_unchecked(if old_len == 0 { new_len } else { old_len }, align);
        let new = if old_len == 0 {
            alloc(layout)
        } else {
            realloc(old, layout, new_len)
        };
        if new.is_null() {
            handle_alloc_error(layout);
        }
        new
    }
}
