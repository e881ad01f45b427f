"""Message descriptions of formats whose own frameworks the farm does without. A leaf: imports nothing of ours."""
