;; A core module: not wrapped into a component.
