"""What ``rnnrt bench`` measures: times, work and ceilings, layers, peers. ``import rnnrt`` loads nothing of it."""
