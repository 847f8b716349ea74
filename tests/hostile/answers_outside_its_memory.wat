;; Its answer lies where it has no memory.
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (if (result i32) (local.get $n) (then (i32.const 0x7ffffff0)) (else (i32.const 96))))
