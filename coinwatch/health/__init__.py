"""Whether a service works, as it reports it: on ``/healthz``, in metrics and in its log."""
