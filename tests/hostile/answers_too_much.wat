;; Answers a thousand placements, whatever it is asked.
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (i32.store (i32.const 96) (i32.const 65536))
  (i32.store (i32.const 100) (select (i32.const 1000) (i32.const 0) (local.get $n)))
  (i32.const 96))
