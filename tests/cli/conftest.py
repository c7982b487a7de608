"""Files that tests of the command read."""

import numpy as np
import pytest
from sklearn.datasets import load_iris


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the iris data as a table and as arrays of samples and species."""
    monkeypatch.chdir(tmp_path)
    iris = load_iris(as_frame=True)
    iris.data.assign(species=[iris.target_names[t] for t in iris.target]).to_csv("iris.csv", index=False)
    np.save("iris.npy", iris.data.to_numpy())
    np.save("species.npy", iris.target.to_numpy())
    return tmp_path
