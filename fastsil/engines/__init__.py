"""Engines: each turns (data, partition) into :class:`fastsil.engines.terms.SilhouetteTerms`.

One module an engine, one entry point each, ``compute_terms(X, partition, *, n_jobs, tick, ...)``:

* ``euclidean``: pairs within clusters, and to the clusters that bounds cannot exclude;
* ``linear``: metrics whose means need no pairs (cosine, correlation, squared Euclidean);
* ``manhattan``: likewise, from sorted features;
* ``coordinatewise``: metrics that are sums or maxima over features; every pair once;
* ``sparse``: Euclidean distance of CSR matrices; every pair once;
* ``precomputed``: given distances, read once;
* ``reference``: any other metric, through scikit-learn's distances.

``euclidean.many_labelings`` and ``precomputed`` have ``compute_terms_many`` as well: one pass for several partitions of
the same samples.

An engine imports no other engine, and handles no metrics' names but its own.
"""
