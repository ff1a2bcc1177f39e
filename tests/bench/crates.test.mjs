import assert from "node:assert/strict";
import { test } from "node:test";
import { originOf } from "../../bench/size/crates.mjs";

test("a function belongs to the crate that its name begins with", () => {
  assert.equal(originOf("serde_json::de::Deserializer<R>::peek_error::h60185f20499edef1"), "serde_json");
  assert.equal(originOf("core[c5930c85a12de822]::unicode::unicode_data::n::lookup_slow"), "core");
  assert.equal(originOf("<str>::to_lowercase"), "core");
  assert.equal(originOf("__wbindgen_malloc"), "exports and the allocator");
  assert.equal(originOf(undefined), "without a name");
});

test("our own functions belong to their modules", () => {
  assert.equal(originOf("omnitrade_edge::config::shape::Shape::fits::h288e185e"), "omnitrade_edge: config");
});

test("the methods of a trait belong to the crate of their type", () => {
  const lazy = "<wasm_bindgen::__rt::LazyCell<T> as core::ops::deref::Deref>::deref::h3a3c824230ddd725";
  assert.equal(originOf(lazy), "wasm_bindgen");
  assert.equal(originOf("<T as serde_core::de::Expected>::fmt::h0941b3b2"), "serde_core");
  assert.equal(originOf("<core::iter::adapters::map::Map<I,F> as core::iter::traits::Iterator>::next"), "core");
  assert.equal(originOf("<&T as core::fmt::Debug>::fmt::h7262c40267c341df"), "core");
});

test("what drops a value belongs to the crate of the value", () => {
  const dropped = "core::ptr::drop_in_place<core::option::Option<omnitrade_edge::cache::received::IfKept<T>>>::h9b55";
  assert.equal(originOf(dropped), "omnitrade_edge: cache");
  assert.equal(originOf("core::ptr::drop_in_place<alloc::boxed::Box<[http::header::map::Pos]>>::hbdf5"), "http");
});
