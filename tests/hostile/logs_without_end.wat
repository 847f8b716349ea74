;; Writes to the log until it is stopped.
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (if (local.get $n) (then (loop $more (call $log (i32.const 1) (i32.const 65536) (i32.const 60000)) (br $more))))
  (i32.const 96))
