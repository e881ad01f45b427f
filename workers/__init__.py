"""The hands: sign-on, hardware probe, build children, the pipeline, the backends. No SQL, no Flask."""
