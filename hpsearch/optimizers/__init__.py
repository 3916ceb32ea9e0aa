"""Update rules, one a file, with coefficients per lane."""
