"""Intervals for what the gate and the report say: proportions, paired differences, AUC, kappa; with clusters."""
