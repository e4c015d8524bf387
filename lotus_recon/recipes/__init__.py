"""What a pipeline does, as a list of stages. Command lines and runners call the same recipes."""
