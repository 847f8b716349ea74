;; Passes its trial, then hangs on the first change.
(func $sync (param i32 i64 i32) (param $n i32)
  (if (local.get $n) (then (loop $for_ever (br $for_ever))))
  (call $reset))
