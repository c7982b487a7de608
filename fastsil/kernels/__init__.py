"""Compiled kernels: pure functions of arrays, without Python objects, threads or metrics' names.

``caching`` compiles them: its cache notices a change in any file of this folder, so that kernels share helpers.

* ``euclidean``: sums of Euclidean distances over ``tiles``, whose innermost block is in ``micro``; ``sparse``: those of
  CSR;
* ``moments``: moments of clusters; ``bounds``: certain bounds on mean distances from them, by distances to centers and
  shared directions; ``approximation``: a guess between bounds;
* ``linear``: squared distances to centers; ``manhattan``: walks along sorted features;
* ``coordinatewise``: distances that are sums or maxima over features; ``precomputed``: sums of given distances;
* ``nearest``: from sums to the two mean distances of a sample.
"""
