-- Takes away what a script may leave in its session beside settings, and what costs next to nothing to take away.
close all; unlisten *; discard temp; discard sequences;
