"""What speaks against a clustering or its scores: findings with a code, a severity, numbers and advice.

``checks`` look at the ``evidence``, arrays and what follows from them, and answer with ``findings``. Checks whose
evidence is missing (data, a null reference) are listed as not made, so that silence is never taken for health.
"""

from fastsil.scoring.diagnosis.checks import diagnose
from fastsil.scoring.diagnosis.evidence import Evidence, NullReference
from fastsil.scoring.diagnosis.findings import SEVERITIES, Diagnosis, Finding

__all__ = ["SEVERITIES", "Diagnosis", "Evidence", "Finding", "NullReference", "diagnose"]
