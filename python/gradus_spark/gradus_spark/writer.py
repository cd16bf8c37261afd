"""Writing estimators and models, with Spark Connect as without."""

from __future__ import annotations

import os

from pyspark.ml.util import DefaultParamsWriter


def connected(session) -> bool:
    """Whether a session is one of Spark Connect: there is no JVM to speak to."""
    return type(session).__module__.startswith("pyspark.sql.connect")


class Writer(DefaultParamsWriter):
    """Spark's own asks the JVM to remove what is written over, under Spark Connect, too, where there is none."""

    def _handleOverwrite(self, path: str) -> None:
        if not connected(self.sparkSession):
            super()._handleOverwrite(path)

    def saveImpl(self, path: str) -> None:
        if not (self.shouldOverwrite and connected(self.sparkSession)):
            return super().saveImpl(path)
        text = self._get_metadata_to_save(self.instance, self.sparkSession)
        rows = self.sparkSession.createDataFrame([(text,)], schema=["value"]).coalesce(1)
        rows.write.mode("overwrite").text(os.path.join(path, "metadata"))
