"""gradus on Apache Spark.

Spark places the workers, feeds each its partition and starts them again when they die; a parameter server of gradus, a process of the
driver, joins their gradients and keeps the state. See :class:`GradusEstimator`.
"""

from .estimator import GradusEstimator, GradusModel

__all__ = ["GradusEstimator", "GradusModel"]
__version__ = "0.1.0"
