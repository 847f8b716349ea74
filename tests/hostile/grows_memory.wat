;; Takes memory until there is none, when asked about jobs.
(func $plan (param i64 i64 i64 i32 i32 i32) (param $n i32) (param i32 i32) (result i32)
  (if (local.get $n) (then (loop $more (drop (memory.grow (i32.const 16))) (br $more))))
  (i32.const 96))
