"""Problems of a clustering or of its scores: findings with a code, a severity, numbers and advice.

``checks`` examine the ``evidence``, arrays and their derived quantities, and return ``findings``. Checks whose evidence
is missing (data, a null reference) are listed as not made, so that no finding is not taken for good health.
"""

from fastsil.scoring.diagnosis.checks import diagnose
from fastsil.scoring.diagnosis.evidence import Evidence, NullReference
from fastsil.scoring.diagnosis.findings import SEVERITIES, Diagnosis, Finding

__all__ = ["SEVERITIES", "Diagnosis", "Evidence", "Finding", "NullReference", "diagnose"]
