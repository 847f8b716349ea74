;; Calls itself without end, when asked about jobs.
(func $deeper (param i64) (result i64) (i64.add (call $deeper (local.get 0)) (i64.const 1)))
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (if (local.get $n) (then (drop (call $deeper (i64.const 1)))))
  (i32.const 96))
