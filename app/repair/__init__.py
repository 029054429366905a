"""What is made of verdicts: commands, reports, seals."""
