"""The argument of Lotus in small: what is predicted, in how many steps, with and without the detail preserver."""
