"""``auto``: tries what this worker can build of a model, in rounds that get dearer, and builds the best in full.

Runs in the build's child process. Importing it imports no toolchain.
"""
