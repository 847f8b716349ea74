;; Says no.
(data (i32.const 512) "there is no [config] I would take")
(func $init (param i32 i32) (result i32)
  (i32.store8 (i32.const 16) (i32.const 1))
  (i32.store (i32.const 20) (i32.const 512))
  (i32.store (i32.const 24) (i32.const 33))
  (i32.const 16))
