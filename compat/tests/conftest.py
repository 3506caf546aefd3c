"""What every test of the mellea path may use: the event loops."""

from loops import anyio_backend as anyio_backend
