;; The default guest: places nothing and harms nobody.
