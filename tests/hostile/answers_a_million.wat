;; Answers more than a million placements: all the memory it may have.
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (if (local.get $n) (then
    (drop (memory.grow (i32.const 1000)))
    (i32.store (i32.const 96) (i32.const 1024))
    (i32.store (i32.const 100) (i32.const 1300000))))
  (i32.const 96))
