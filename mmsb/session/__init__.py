"""The one place where the stages meet: record, translate, commit, and hand over to the reader.

``recording.py`` runs a program to its end; ``live.py`` is a Julia that code is sent to, in a
process of its own or, ``inside.py``, in this one, and ``starting.py`` says which; ``demo.py`` shows
what there is.
"""

from mmsb.session.demo import Demo, demo, doctor
from mmsb.session.live import Session
from mmsb.session.recording import RecordingResult, record, write
from mmsb.session.starting import start, stop

__all__ = [
    "Demo",
    "RecordingResult",
    "Session",
    "demo",
    "doctor",
    "record",
    "start",
    "stop",
    "write",
]
