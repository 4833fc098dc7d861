"""From a graph to the flat program that C runs."""
