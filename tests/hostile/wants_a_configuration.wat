;; Takes a configuration of at most 40 bytes, refuses to begin without one, and gives it back as its only reason.
(data (i32.const 256) "I need a short [config]")
(func $init (param $config i32) (param $n i32) (result i32)
  (if (i32.or (i32.eqz (local.get $n)) (i32.gt_u (local.get $n) (i32.const 40))) (then
    (i32.store8 (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (i32.const 256))
    (i32.store (i32.const 24) (i32.const 23)))
  (else
    (i32.store8 (i32.const 16) (i32.const 0))
    (i32.store (i32.const 36) (i32.const 200))
    (i32.store (i32.const 40) (i32.const 1))
    (i32.store (i32.const 200) (local.get $config))
    (i32.store (i32.const 204) (local.get $n))))
  (i32.const 16))
