;; Wants more memory than there is for it from the start.
(memory $memory (export "memory") 32768)
