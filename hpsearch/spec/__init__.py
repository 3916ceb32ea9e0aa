"""What a user may write: the grammar of a study definition and its search space."""
