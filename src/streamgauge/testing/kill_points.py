"""Where a run of the pipeline may be killed, and a helper that kills it there.

``STEPS`` are the names that a Pipeline (and ``reporting.run_report``) gives to its ``step`` as it goes by::

    with pytest.raises(Killed):
        run_report(files, declarations, options, step=kill_at("before_commit", 2))
    run_report(files, declarations, options)  # goes on from the last commit
"""

from __future__ import annotations

from streamgauge.pipeline import STEPS, Step

__all__ = ["STEPS", "Killed", "kill_at"]


class Killed(BaseException):
    """The run ends here, as if its process had been killed. No Exception, so that nothing on the way handles it."""


def kill_at(step: str, nth: int = 1) -> Step:
    """What raises Killed when the step of this name goes by for the nth time. Raises ValueError for an unknown one."""
    if step not in STEPS:
        raise ValueError(f"no step is called {step!r}; one of {', '.join(STEPS)}")
    left = nth

    def passing(name: str) -> None:
        nonlocal left
        left -= name == step
        if name == step and left == 0:
            raise Killed(f"at step {step}, time {nth}")

    return passing
