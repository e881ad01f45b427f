"""TensorRT's own Python bindings over empty libraries: names and signatures can be looked at, nothing can be built."""
