"""Engines: each turns (data, partition) into :class:`fastsil.terms.SilhouetteTerms`.

One module an engine, one entry point each, ``compute_terms(X, partition, *, n_jobs, tick, ...)``:

* ``euclidean``: exact pairs, on compiled kernels;
* ``linear``: metrics whose means need no pairs (cosine, correlation, squared Euclidean);
* ``manhattan``: likewise, from sorted features;
* ``reference``: any other metric, through scikit-learn's distances.

Engines do not know each other, nor metrics' names beyond their own.
"""
