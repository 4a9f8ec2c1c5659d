"""The smallest program: what an agent costs where there is nothing to trace."""

print("hi")
