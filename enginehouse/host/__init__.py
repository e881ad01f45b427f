"""What a machine is: processor, memory, accelerators, and the names for them. Reads the kernel's files alone.

Workers and hosts are told apart and matched by the same words, so both read them here.
"""
