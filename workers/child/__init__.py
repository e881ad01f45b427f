"""The build child: a process of its own per build, forked from a warm parent or freshly executed, and confined."""
