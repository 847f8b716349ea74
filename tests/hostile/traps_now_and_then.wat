;; Traps on every third round it is asked about jobs.
(global $asked (mut i32) (i32.const 0))
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (if (local.get $n) (then
    (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
    (if (i32.eq (global.get $asked) (i32.const 3)) (then (unreachable)))))
  (i32.const 96))
