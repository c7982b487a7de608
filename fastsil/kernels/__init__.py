"""Compiled kernels: pure functions of arrays, without Python objects, threads or metrics' names.

Each file is self-contained, with its own helpers and flags, because numba's cache key is the file of the compiled
function: a change of a helper or an option in another file would go unnoticed.

* ``euclidean``: sums of Euclidean distances over tiles, and ``sparse``: those of CSR;
* ``moments``: moments of clusters; ``bounds``: certain bounds on mean distances from them, by distances to centers and
  shared directions; ``approximation``: a guess between bounds;
* ``linear``: squared distances to centers; ``manhattan``: walks along sorted features;
* ``coordinatewise``: distances that are sums or maxima over features; ``precomputed``: sums of given distances;
* ``nearest``: from sums to the two mean distances of a sample.
"""

from fastsil.kernels import caching  # noqa: F401  # before the first kernel is compiled
