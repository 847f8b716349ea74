;; Answers a thousand rounds, with nothing, then never again.
(global $rounds (mut i32) (i32.const 0))
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (global.set $rounds (i32.add (global.get $rounds) (i32.const 1)))
  (if (i32.gt_u (global.get $rounds) (i32.const 1000)) (then (loop $for_ever (br $for_ever))))
  (i32.const 96))
