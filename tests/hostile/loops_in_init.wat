;; Never becomes ready.
(func $init (param i32 i32) (result i32) (loop $for_ever (br $for_ever)) (unreachable))
