;; Passes its trial, then never answers a question about jobs.
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (if (local.get $n) (then (loop $for_ever (br $for_ever))))
  (i32.const 96))
